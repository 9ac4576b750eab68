/* sip/hosts.c - the names of /etc/hosts */
#include "sip/resolve_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define CHECK_MS 1000u
#define MAX_ENTRIES 20000u

struct entry {
	struct hnode node;
	struct sa addr;
	char *name;
};

struct hosts {
	char *path;
	struct wheel *wheel;
	struct hmap entries;
	uint64_t checked_ms;
	bool checked;
	struct timespec mtime;
};

struct hosts *hosts_new(const char *path, struct wheel *wheel)
{
	struct hosts *hosts = xzalloc(sizeof(*hosts));

	hosts->path = xstrdup(path ? path : "/etc/hosts");
	hosts->wheel = wheel;
	hmap_init(&hosts->entries);
	return hosts;
}

static void hosts_clear(struct hosts *hosts)
{
	struct hnode *node;

	for (size_t cursor = 0; (node = hmap_iter(&hosts->entries, &cursor, NULL)); cursor = 0) {
		struct entry *entry = container_of_(node, struct entry, node);

		hmap_del(&hosts->entries, node);
		free(entry->name);
		free(entry);
	}
}

struct hosts *hosts_free(struct hosts *hosts)
{
	if (!hosts)
		return NULL;
	hosts_clear(hosts);
	hmap_fini(&hosts->entries);
	free(hosts->path);
	free(hosts);
	return NULL;
}

static void line_take(struct hosts *hosts, char *line)
{
	char *save = NULL, *word;
	struct sa addr;

	line[strcspn(line, "#\r\n")] = '\0';
	word = strtok_r(line, " \t", &save);
	if (!word || sa_set_str(&addr, word, 0))
		return;
	while ((word = strtok_r(NULL, " \t", &save)) && hosts->entries.count < MAX_ENTRIES) {
		struct entry *entry = xzalloc(sizeof(*entry));

		entry->addr = addr;
		entry->name = xstrdup(word);
		hmap_add(&hosts->entries, &entry->node, hkey_text_nocase(word));
	}
}

/* A local file of a few lines: read in the loop, when it has changed. */
static void hosts_refresh(struct hosts *hosts)
{
	uint64_t now = wheel_now_ms(hosts->wheel);
	char line[1024];
	struct stat st;
	FILE *file;

	if (hosts->checked && now - hosts->checked_ms < CHECK_MS)
		return;
	if (stat(hosts->path, &st))
		memset(&st, 0, sizeof(st));
	if (hosts->checked && memcmp(&st.st_mtim, &hosts->mtime, sizeof(st.st_mtim)) == 0) {
		hosts->checked_ms = now;
		return;
	}
	hosts->checked = true;
	hosts->checked_ms = now;
	hosts->mtime = st.st_mtim;
	hosts_clear(hosts);
	file = fopen(hosts->path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		line_take(hosts, line);
	fclose(file);
}

unsigned hosts_get(struct hosts *hosts, const char *name, struct sa *addrs, unsigned max)
{
	struct hnode *node;
	unsigned count = 0;

	hosts_refresh(hosts);
	node = hmap_first(&hosts->entries, hkey_text_nocase(name));
	for (; node && count < max; node = hmap_same(node)) {
		const struct entry *entry = container_of_(node, struct entry, node);

		if (strcasecmp(entry->name, name) == 0)
			addrs[count++] = entry->addr;
	}
	for (unsigned i = 0; i < count / 2;
	     i++) { /* the map has the latest first, the file's order counts */
		struct sa swap = addrs[i];

		addrs[i] = addrs[count - 1 - i];
		addrs[count - 1 - i] = swap;
	}
	/* RFC 6761 6.3: localhost is loopback, whoever says what */
	if (!count && strcasecmp(name, "localhost") == 0 && max)
		count += sa_set_str(&addrs[0], "127.0.0.1", 0) == 0;
	return count;
}
