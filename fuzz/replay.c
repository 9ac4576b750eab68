/* fuzz/replay.c - runs a fuzz target over files, as a plain test
 *
 * `fuzz_NAME DIRECTORY`: every file of it, and each file's every prefix of a few lengths, once.
 */
#include "fuzz/target.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX 65536

static unsigned run_file(const char *dir, const char *name)
{
	static uint8_t data[INPUT_MAX];
	char path[4096];
	FILE *file;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	if (!file) {
		perror(path);
		exit(1);
	}
	size = fread(data, 1, sizeof(data), file);
	fclose(file);
	for (size_t cut = 0; cut < 16; cut++) {
		/* A copy of the exact size, so that ASan sees a read past its end. */
		size_t len = size - size * cut / 16;
		uint8_t *copy = malloc(len ? len : 1);

		if (!copy)
			abort();
		memcpy(copy, data, len);
		LLVMFuzzerTestOneInput(copy, len);
		free(copy);
	}
	return 1;
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	struct dirent *entry;
	DIR *dir;

	if (argc != 2 || !(dir = opendir(argv[1]))) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			count += run_file(argv[1], entry->d_name);
	closedir(dir);
	printf("%u inputs\n", count);
	return count ? 0 : 1; /* an empty corpus tests nothing */
}
