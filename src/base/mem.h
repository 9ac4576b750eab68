/* base/mem.h - memory that cannot fail, cleanup of locals, arenas
 *
 * Out of memory aborts. What a foreign peer can size has a maximum stated where it is read;
 * by the time it is allocated its size is known to be sane.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64
#define must_check __attribute__((warn_unused_result))
#define format_printf(fmt, first) __attribute__((format(printf, fmt, first)))
#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Return: zeroed memory, never NULL. Free with free(). */
void *xzalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xzalloc_array(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
/* Begins at a cache line. */
void *xzalloc_lines(size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *mem, size_t size) __attribute__((returns_nonnull));
/* NULL in, NULL out. */
char *xstrdup(const char *str);
char *xstrndup(const char *str, size_t max);
char *xmemdup(const void *mem, size_t size);
char *xasprintf(const char *fmt, ...) format_printf(1, 2);

/* A local `auto_(x_free) struct x *x = NULL;` is freed when it leaves its scope; DEFINE_CLEANUP beside
 * the destructor's declaration makes that possible. `take(p)` hands the object on and leaves NULL.
 */
#define auto_(free_fn) __attribute__((cleanup(free_fn##_p), unused))
#define DEFINE_CLEANUP(type, free_fn)                                                              \
	static inline void free_fn##_p(type *p)                                                    \
	{                                                                                          \
		if (*p)                                                                            \
			(void)free_fn(*p);                                                         \
	}
#define take(p)                                                                                    \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})
static inline void free_p(void *p)
{
	free(*(void **)p);
}
/* Locals from malloc: `auto_(free) char *text = NULL;` */

/* A region: everything allocated from it goes at once. One owner, one thread. */
struct arena;

struct arena *arena_new(void);
struct arena *arena_free(struct arena *arena);
DEFINE_CLEANUP(struct arena *, arena_free)
/* Return: zeroed memory, aligned for any type, never NULL. */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_strdup(struct arena *arena, const char *str);
char *arena_strndup(struct arena *arena, const char *str, size_t len);
char *arena_printf(struct arena *arena, const char *fmt, ...) format_printf(2, 3);
/* Runs fn(arg) when the arena is reset or freed, the latest first: for what a region holds but did not allocate
 * (json_t).
 */
void arena_defer(struct arena *arena, void (*fn)(void *arg), void *arg);
void arena_reset(struct arena *arena);
