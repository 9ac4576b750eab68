/* fuzz/config.c - configuration files, read from memory through a pipe of the file system */
#include "base/config.h"
#include "fuzz/target.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const colours[] = { "red", "green", NULL };

static const struct config_item schema[] = {
	{ "sip", "listen", CONFIG_ADDR, "127.0.0.1:5060", .help = "x" },
	{ "sip", "port", CONFIG_INT, "5060", 1, 65535, .help = "x" },
	{ "log", "colour", CONFIG_ENUM, "red", .names = colours, .help = "x" },
	{ "log", "personal", CONFIG_BOOL, "no", .help = "x" },
	{ "db", "url", CONFIG_STR, "", 0, 500, .secret = true, .help = "x" },
	{ 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_(config_free) struct config *config = config_new(schema);
	auto_(buf_fini) struct buf problems = BUF_MAX(1 << 20);
	auto_(buf_fini) struct buf printed = BUF_MAX(1 << 20);
	int fd = memfd_create("config", MFD_CLOEXEC);
	char path[64];

	if (fd < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, data, size) != (ssize_t)size)
		abort();
	(void)config_read_file(config, path, &problems);

	/* Whatever was read, what stands is valid: it prints, and reads again without a complaint. */
	if (ftruncate(fd, 0) || lseek(fd, 0, SEEK_SET))
		abort();
	config_print(config, &printed);
	buf_reset(&problems);
	if (write(fd, printed.data, printed.len) != (ssize_t)printed.len ||
	    config_read_file(config, path, &problems))
		abort();
	close(fd);
	return 0;
}
