/* base/mem.c - allocation that aborts, and arenas made of chunks */
#include "base/mem.h"

#include <stdio.h>

#define ARENA_CHUNK 4096
#define ARENA_ALIGN 16

static _Noreturn void out_of_memory(void)
{
	fputs("out of memory\n", stderr);
	abort();
}

void *xzalloc(size_t size)
{
	void *mem = calloc(1, size ? size : 1);

	if (!mem)
		out_of_memory();
	return mem;
}

void *xzalloc_array(size_t count, size_t size)
{
	void *mem = calloc(count ? count : 1, size ? size : 1);

	if (!mem)
		out_of_memory();
	return mem;
}

void *xzalloc_lines(size_t size)
{
	size_t lines = (size + CACHE_LINE - 1) / CACHE_LINE;
	void *mem = aligned_alloc(CACHE_LINE, (lines ? lines : 1) * CACHE_LINE);

	if (!mem)
		out_of_memory();
	return memset(mem, 0, size);
}

void *xrealloc(void *mem, size_t size)
{
	void *moved = realloc(mem, size ? size : 1);

	if (!moved)
		out_of_memory();
	return moved;
}

char *xstrdup(const char *str)
{
	return str ? xmemdup(str, strlen(str) + 1) : NULL;
}

char *xstrndup(const char *str, size_t max)
{
	size_t len;
	char *copy;

	if (!str)
		return NULL;
	len = strnlen(str, max);
	copy = xzalloc(len + 1);
	memcpy(copy, str, len);
	return copy;
}

char *xmemdup(const void *mem, size_t size)
{
	char *copy;

	if (!mem)
		return NULL;
	copy = xzalloc(size);
	memcpy(copy, mem, size);
	return copy;
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		out_of_memory();
	return text;
}

/* The newest chunk is first; only it is filled further. Anything larger than half a chunk gets a chunk of its
 * own behind the first, so that one big value does not waste the room left in the current one.
 */
struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(ARENA_ALIGN) char data[];
};

struct deferred {
	struct deferred *next;
	void (*fn)(void *arg);
	void *arg;
};

struct arena {
	struct chunk *chunks;
	struct deferred *deferred;
};

static struct chunk *chunk_new(size_t size)
{
	struct chunk *chunk = malloc(sizeof(*chunk) + size);

	if (!chunk)
		out_of_memory();
	*chunk = (struct chunk){ .size = size };
	return chunk;
}

struct arena *arena_new(void)
{
	struct arena *arena = xzalloc(sizeof(*arena));

	arena->chunks = chunk_new(ARENA_CHUNK);
	return arena;
}

void arena_reset(struct arena *arena)
{
	struct chunk *keep = NULL;

	/* The deferred records lie in the chunks: run them while those still stand. */
	for (struct deferred *d = arena->deferred; d; d = d->next)
		d->fn(d->arg);
	arena->deferred = NULL;

	while (arena->chunks) {
		struct chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		if (!keep && chunk->size == ARENA_CHUNK)
			keep = chunk;
		else
			free(chunk);
	}
	if (!keep)
		keep = chunk_new(ARENA_CHUNK);
	keep->used = 0;
	keep->next = NULL;
	arena->chunks = keep;
}

struct arena *arena_free(struct arena *arena)
{
	if (!arena)
		return NULL;
	arena_reset(arena);
	free(arena->chunks);
	free(arena);
	return NULL;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct chunk *chunk = arena->chunks;
	void *mem;

	if (size > SIZE_MAX / 2)
		out_of_memory();
	size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);

	if (size > ARENA_CHUNK / 2) {
		chunk = chunk_new(size);
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else if (chunk->size - chunk->used < size) {
		chunk = chunk_new(ARENA_CHUNK);
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	mem = chunk->data + chunk->used;
	chunk->used += size;
	return memset(mem, 0, size);
}

void arena_defer(struct arena *arena, void (*fn)(void *arg), void *arg)
{
	struct deferred *d = arena_alloc(arena, sizeof(*d));

	*d = (struct deferred){ .next = arena->deferred, .fn = fn, .arg = arg };
	arena->deferred = d;
}

char *arena_strdup(struct arena *arena, const char *str)
{
	return str ? arena_strndup(arena, str, strlen(str)) : NULL;
}

char *arena_strndup(struct arena *arena, const char *str, size_t len)
{
	char *copy;

	if (!str)
		return NULL;
	len = strnlen(str, len);
	copy = arena_alloc(arena, len + 1);
	memcpy(copy, str, len);
	return copy;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
	va_list ap, again;
	char *text;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		abort(); /* a broken format is our bug */
	text = arena_alloc(arena, (size_t)n + 1);
	vsnprintf(text, (size_t)n + 1, fmt, again);
	va_end(again);
	return text;
}
