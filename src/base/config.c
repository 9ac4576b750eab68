/* base/config.c - one table of settings, three sources, one list of complaints
 *
 * The INI reader is our own: it names the line of each problem, takes lines of any sensible length (database
 * addresses are long) and keeps ';' and '#' inside values, which passwords contain.
 */
#include "base/config.h"

#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#define LINE_MAX_ 4096
#define PROBLEMS_MAX 50 /* of a file; one with more was not meant for us */
#define VALUE_MAX_DEFAULT 1024
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* some editors put it there */
#define ENV_PREFIX "JACKFIELD_"
#define ENV_NAME_SIZE 96

struct value {
	char *text;
	int64_t number; /* CONFIG_INT, CONFIG_BOOL, CONFIG_ENUM */
};

struct config {
	const struct config_item *schema;
	size_t count;
	struct value *values;
};

static int name_index(const char *const *names, const char *text)
{
	for (int i = 0; names && names[i]; i++)
		if (strcmp(names[i], text) == 0)
			return i;
	return -1;
}

static bool bool_parse(const char *text, int64_t *ret)
{
	static const char *const yes[] = { "yes", "true", "on", "1", NULL };
	static const char *const no[] = { "no", "false", "off", "0", NULL };

	if (name_index(yes, text) < 0 && name_index(no, text) < 0)
		return false;
	*ret = name_index(yes, text) >= 0;
	return true;
}

/* host:port, [v6]:port; the host may be empty only where the default is. */
static bool addr_split(const char *text, char *host, size_t size, int64_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	size_t len;

	if (!colon || !str_to_i64(colon + 1, 0, 65535, ret_port))
		return false;
	len = (size_t)(colon - text);
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	} else if (memchr(text, ':', len)) {
		return false; /* an IPv6 address without brackets */
	}
	if (!len || len >= size)
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	return true;
}

static bool text_fits(const struct config_item *item, const char *text)
{
	size_t len = strlen(text);
	int64_t max = item->max ? item->max : VALUE_MAX_DEFAULT;

	return (int64_t)len >= item->min && (int64_t)len <= max && str_is_clean_utf8(text, len);
}

static void names_print(const char *const *names, struct buf *out)
{
	for (int i = 0; names[i]; i++)
		buf_addf(out, "%s%s", i ? ", " : "", names[i]);
}

/* Return: true with *ret_number, or false with the complaint added to `why`. Secrets are not repeated. */
static bool value_check(const struct config_item *item, const char *text, int64_t *ret_number,
			struct buf *why)
{
	const char *shown = item->secret ? "the value" : text;
	char host[256];
	int64_t port;

	switch (item->type) {
	case CONFIG_STR:
		if (text_fits(item, text))
			return true;
		buf_addf(why, "is not a text of %lld to %lld bytes without control characters",
			 (long long)item->min,
			 (long long)(item->max ? item->max : VALUE_MAX_DEFAULT));
		return false;
	case CONFIG_INT:
		if (str_to_i64(text, item->min, item->max, ret_number))
			return true;
		buf_addf(why, "%.80s is not in %lld..%lld", shown, (long long)item->min,
			 (long long)item->max);
		return false;
	case CONFIG_BOOL:
		if (bool_parse(text, ret_number))
			return true;
		buf_addf(why, "%.80s is neither yes nor no", shown);
		return false;
	case CONFIG_ENUM:
		*ret_number = name_index(item->names, text);
		if (*ret_number >= 0)
			return true;
		buf_addf(why, "%.80s is none of ", shown);
		names_print(item->names, why);
		return false;
	case CONFIG_ADDR:
		if ((!*text && !*item->dflt) || addr_split(text, host, sizeof(host), &port))
			return true;
		buf_addf(why, "%.80s is not host:port", shown);
		return false;
	}
	bug_on(true);
}

static size_t item_find(const struct config *config, const char *section, const char *key)
{
	size_t i = 0;

	while (i < config->count && !(strcmp(config->schema[i].section, section) == 0 &&
				      strcmp(config->schema[i].key, key) == 0))
		i++;
	return i;
}

static bool section_is_known(const struct config *config, const char *section)
{
	for (size_t i = 0; i < config->count; i++)
		if (strcmp(config->schema[i].section, section) == 0)
			return true;
	return false;
}

/* Return: 1 with a problem added, else 0 and the value taken. `origin` heads the problem's line. */
static unsigned value_set(struct config *config, size_t index, const char *text, const char *origin,
			  struct buf *problems)
{
	const struct config_item *item = &config->schema[index];
	auto_(buf_fini) struct buf why = BUF_MAX(1024);
	int64_t number = 0;

	if (!value_check(item, text, &number, &why)) {
		buf_addf(problems, "%s: [%s] %s: %s\n", origin, item->section, item->key,
			 why.data ? why.data : "");
		return 1;
	}
	free(config->values[index].text);
	config->values[index] = (struct value){ .text = xstrdup(text), .number = number };
	return 0;
}

struct config *config_new(const struct config_item *schema)
{
	struct config *config = xzalloc(sizeof(*config));
	auto_(buf_fini) struct buf problems = BUF_MAX(1024);

	config->schema = schema;
	while (schema[config->count].section)
		config->count++;
	config->values = xzalloc_array(config->count, sizeof(*config->values));
	for (size_t i = 0; i < config->count; i++)
		bug_on(value_set(config, i, schema[i].dflt, "default", &problems));
	return config;
}

struct config *config_free(struct config *config)
{
	if (!config)
		return NULL;
	for (size_t i = 0; i < config->count; i++)
		free(config->values[i].text);
	free(config->values);
	free(config);
	return NULL;
}

static char *trim(char *text)
{
	size_t len;

	text += strspn(text, " \t\r\n");
	len = strlen(text);
	while (len && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	return text;
}

struct reader {
	struct config *config;
	struct buf *problems;
	const char *path;
	unsigned line_no;
	unsigned found;
	char section[64];
};

static void reader_complain(struct reader *reader, const char *what)
{
	buf_addf(reader->problems, "%s:%u: %s\n", reader->path, reader->line_no, what);
	reader->found++;
}

static void read_section(struct reader *reader, char *line)
{
	size_t len = strlen(line);

	if (line[len - 1] != ']' || !str_copy(reader->section, sizeof(reader->section), line + 1)) {
		reader_complain(reader, "a section is written [name]");
		reader->section[0] = '\0';
		return;
	}
	reader->section[len - 2] = '\0';
	if (!section_is_known(reader->config, reader->section)) {
		buf_addf(reader->problems, "%s:%u: [%s]: no such section\n", reader->path,
			 reader->line_no, reader->section);
		reader->found++;
	}
}

static void read_pair(struct reader *reader, char *line)
{
	char *equals = strchr(line, '=');
	char origin[512];
	char *key, *value;
	size_t index, len;

	if (!equals) {
		reader_complain(reader, "expected key = value");
		return;
	}
	*equals = '\0';
	key = trim(line);
	value = trim(equals + 1);
	len = strlen(value);
	if (len >= 2 && value[0] == '"' && value[len - 1] == '"') { /* keeps spaces at the ends */
		value[len - 1] = '\0';
		value++;
	}

	if (!section_is_known(reader->config, reader->section)) {
		if (!reader->section[0])
			reader_complain(reader, "a key before any section");
		return; /* the section itself was complained of */
	}
	index = item_find(reader->config, reader->section, key);
	if (index == reader->config->count) {
		buf_addf(reader->problems, "%s:%u: [%s] %.64s: no such key\n", reader->path,
			 reader->line_no, reader->section, key);
		reader->found++;
		return;
	}
	snprintf(origin, sizeof(origin), "%s:%u", reader->path, reader->line_no);
	reader->found += value_set(reader->config, index, value, origin, reader->problems);
}

static void read_line(struct reader *reader, char *line)
{
	if (reader->line_no == 1 && str_has_prefix(line, BYTE_ORDER_MARK))
		line += strlen(BYTE_ORDER_MARK);
	line = trim(line);
	if (!*line || *line == '#' || *line == ';')
		return;
	if (*line == '[')
		read_section(reader, line);
	else
		read_pair(reader, line);
}

static void file_close(FILE **file)
{
	if (*file)
		fclose(*file);
}

unsigned config_read_file(struct config *config, const char *path, struct buf *problems)
{
	struct reader reader = { .config = config, .problems = problems, .path = path };
	__attribute__((cleanup(file_close))) FILE *file = fopen(path, "re");
	auto_(free) char *line = NULL;
	size_t size = 0;
	ssize_t len;

	if (!file) {
		buf_addf(problems, "%s: %s\n", path, strerror(errno));
		return 1;
	}
	while ((len = getline(&line, &size, file)) >= 0) {
		reader.line_no++;
		if (reader.found >= PROBLEMS_MAX) {
			reader_complain(&reader,
					"too many problems: from here on the file is not read");
			break;
		}
		if (len > LINE_MAX_)
			reader_complain(&reader, "line too long");
		else if (strlen(line) != (size_t)len)
			reader_complain(&reader, "line holds a NUL byte");
		else
			read_line(&reader, line);
	}
	if (ferror(file)) {
		buf_addf(problems, "%s: %s\n", path, strerror(errno));
		reader.found++;
	}
	return reader.found;
}

static void env_name(const struct config_item *item, char name[static ENV_NAME_SIZE])
{
	snprintf(name, ENV_NAME_SIZE, ENV_PREFIX "%s_%s", item->section, item->key);
	for (char *p = name; *p; p++)
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - ('a' - 'A'));
}

static bool env_is(const char *name, const char *var, size_t len)
{
	return name && strlen(name) == len && memcmp(name, var, len) == 0;
}

static size_t env_find(const struct config *config, const char *var, size_t len)
{
	char name[ENV_NAME_SIZE];
	size_t i;

	for (i = 0; i < config->count; i++) {
		env_name(&config->schema[i], name);
		if (env_is(name, var, len) || env_is(config->schema[i].env, var, len))
			break;
	}
	return i;
}

/* Other programs may have variables that begin as ours do; one that names a section of ours is a misspelt key. */
static bool env_names_section(const struct config *config, const char *var)
{
	const char *rest = var + strlen(ENV_PREFIX);

	for (size_t i = 0; i < config->count; i++) {
		size_t len = strlen(config->schema[i].section);

		if (strncasecmp(rest, config->schema[i].section, len) == 0 && rest[len] == '_')
			return true;
	}
	return false;
}

unsigned config_read_env(struct config *config, const char *const *env, struct buf *problems)
{
	unsigned found = 0;

	for (; *env; env++) {
		const char *equals = strchr(*env, '=');
		char origin[128];
		size_t index, len;

		if (!equals || !str_has_prefix(*env, ENV_PREFIX))
			continue;
		len = (size_t)(equals - *env);
		snprintf(origin, sizeof(origin), "%.*s", (int)(len < 100 ? len : 100), *env);
		index = env_find(config, *env, len);
		if (index < config->count) {
			found += value_set(config, index, equals + 1, origin, problems);
		} else if (env_names_section(config, *env)) {
			buf_addf(problems, "%s: no such key\n", origin);
			found++;
		}
	}
	return found;
}

unsigned config_override(struct config *config, const char *section, const char *key,
			 const char *value, struct buf *problems)
{
	size_t index = item_find(config, section, key);

	bug_on(index == config->count);
	return value_set(config, index, value, "command line", problems);
}

static const struct value *value_get(const struct config *config, const char *section,
				     const char *key, enum config_type type)
{
	size_t index = item_find(config, section, key);

	bug_on(index == config->count || config->schema[index].type != type);
	return &config->values[index];
}

const char *config_str(const struct config *config, const char *section, const char *key)
{
	return value_get(config, section, key, CONFIG_STR)->text;
}

int64_t config_int(const struct config *config, const char *section, const char *key)
{
	return value_get(config, section, key, CONFIG_INT)->number;
}

bool config_bool(const struct config *config, const char *section, const char *key)
{
	return value_get(config, section, key, CONFIG_BOOL)->number != 0;
}

int config_enum(const struct config *config, const char *section, const char *key)
{
	return (int)value_get(config, section, key, CONFIG_ENUM)->number;
}

bool config_addr(const struct config *config, const char *section, const char *key,
		 struct config_addr *ret)
{
	struct config_addr addr = { .port = 0 };
	int64_t port;

	if (!addr_split(value_get(config, section, key, CONFIG_ADDR)->text, addr.host,
			sizeof(addr.host), &port))
		return false; /* empty: checked when it was set */
	addr.port = (uint16_t)port;
	*ret = addr;
	return true;
}

const char *config_addr_text(const struct config *config, const char *section, const char *key)
{
	return value_get(config, section, key, CONFIG_ADDR)->text;
}

bool config_is_same(const struct config *a, const struct config *b, const char *section,
		    const char *key)
{
	size_t index = item_find(a, section, key);

	bug_on(a->schema != b->schema || index == a->count);
	return strcmp(a->values[index].text, b->values[index].text) == 0;
}

void config_each_fixed(const struct config *a, const struct config *b,
		       void (*each)(void *arg, const char *section, const char *key), void *arg)
{
	bug_on(a->schema != b->schema);
	for (size_t i = 0; i < a->count; i++)
		if (!a->schema[i].live && strcmp(a->values[i].text, b->values[i].text) != 0)
			each(arg, a->schema[i].section, a->schema[i].key);
}

void config_take_live(struct config *config, const struct config *from)
{
	bug_on(config->schema != from->schema);
	for (size_t i = 0; i < config->count; i++) {
		if (!config->schema[i].live)
			continue;
		free(config->values[i].text);
		config->values[i].text = xstrdup(from->values[i].text);
		config->values[i].number = from->values[i].number;
	}
}

static void item_print(const struct config_item *item, const struct value *value, struct buf *out)
{
	buf_addf(out, "# %s\n", item->help);
	if (item->type == CONFIG_INT)
		buf_addf(out, "# %lld to %lld", (long long)item->min, (long long)item->max);
	else if (item->type == CONFIG_BOOL)
		buf_adds(out, "# yes or no");
	else if (item->type == CONFIG_ENUM) {
		buf_adds(out, "# one of ");
		names_print(item->names, out);
	} else if (item->type == CONFIG_ADDR)
		buf_adds(out, "# host:port");
	else
		buf_adds(out, "# text");
	buf_addf(out, "; default: %s%s\n", *item->dflt ? item->dflt : "none",
		 item->live ? "; SIGHUP applies it" : "");
	buf_addf(out, "%s = %s\n\n", item->key, item->secret && *value->text ? "***" : value->text);
}

void config_print(const struct config *config, struct buf *out)
{
	const char *section = "";

	for (size_t i = 0; i < config->count; i++) {
		const struct config_item *item = &config->schema[i];

		if (strcmp(section, item->section) != 0)
			buf_addf(out, "[%s]\n", item->section);
		section = item->section;
		item_print(item, &config->values[i], out);
	}
}
