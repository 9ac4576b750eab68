/* A trie of path segments. Routes number some tens, so a node's children are a short list. */
#include "http/private.h"

#include <stdio.h>

struct leaf {
	const struct web_route *route;
	struct leaf *next;
};

struct node {
	const char *segment; /* in a route's path; a parameter's with its braces */
	size_t len;
	bool is_param;
	struct node *children, *sibling, *param; /* `param`: the one child that matches anything */
	struct leaf *leaves;
	char *allow;
};

struct router {
	struct node root;
};

/* Return: the next segment at *path, or NULL at the end (one slash at the end does not count). */
static const char *segment_next(const char **path, size_t *ret_len)
{
	const char *start = *path, *end;

	if (*start == '/')
		start++;
	if (!*start)
		return NULL;

	end = strchr(start, '/');
	if (!end)
		end = start + strlen(start);
	*ret_len = (size_t)(end - start);
	*path = end;
	return start;
}

static struct node *node_child(const struct node *node, const char *segment, size_t len)
{
	for (struct node *child = node->children; child; child = child->sibling)
		if (child->len == len && memcmp(child->segment, segment, len) == 0)
			return child;
	return NULL;
}

static struct node *node_add(struct node *node, const char *segment, size_t len)
{
	bool is_param = segment[0] == '{';
	struct node *child = is_param ? node->param : node_child(node, segment, len);

	if (child)
		return child;

	child = xzalloc(sizeof(*child));
	child->segment = segment;
	child->len = len;
	child->is_param = is_param;
	if (is_param) {
		node->param = child;
	} else {
		child->sibling = node->children;
		node->children = child;
	}
	return child;
}

static void node_fini(struct node *node)
{
	struct node *child = node->children;
	struct leaf *leaf = node->leaves;

	while (child) {
		struct node *sibling = child->sibling;

		node_fini(child);
		free(child);
		child = sibling;
	}
	if (node->param) {
		node_fini(node->param);
		free(node->param);
	}
	while (leaf) {
		struct leaf *next = leaf->next;

		free(leaf);
		leaf = next;
	}
	free(node->allow);
}

static void node_allow(struct node *node)
{
	struct buf allow = BUF_MAX(256);
	bool has_get = false;

	for (const struct leaf *leaf = node->leaves; leaf; leaf = leaf->next) {
		buf_addf(&allow, "%s, ", leaf->route->method);
		has_get = has_get || str_eq(leaf->route->method, "GET");
	}
	if (has_get)
		buf_adds(&allow, "HEAD, ");
	buf_adds(&allow, "OPTIONS");
	bug_on(allow.failed);
	free(node->allow);
	node->allow = allow.data;
}

static void router_add(struct router *router, const struct web_route *route)
{
	struct node *node = &router->root;
	const char *path = route->path, *segment;
	struct leaf *leaf, **end;
	unsigned params = 0;
	size_t len = 0;

	while ((segment = segment_next(&path, &len))) {
		node = node_add(node, segment, len);
		params += node->is_param;
	}
	bug_on(params > WEB_PARAM_MAX);

	for (end = &node->leaves; *end; end = &(*end)->next)
		bug_on(str_eq((*end)->route->method, route->method)); /* the same route twice */
	leaf = xzalloc(sizeof(*leaf));
	leaf->route = route;
	*end = leaf;
	node_allow(node);
}

struct router *router_new(const struct web_route *routes)
{
	struct router *router = xzalloc(sizeof(*router));

	for (const struct web_route *route = routes; route->method; route++)
		router_add(router, route);
	return router;
}

struct router *router_free(struct router *router)
{
	if (router)
		node_fini(&router->root);
	free(router);
	return NULL;
}

/* Literal segments win over parameters; there is no backtracking, so a table must not need any. */
static const struct node *router_walk(const struct router *router, const char *path,
				      struct route_match *match)
{
	const struct node *node = &router->root, *child;
	const char *segment;
	size_t len = 0;

	while ((segment = segment_next(&path, &len))) {
		child = node_child(node, segment, len);
		if (!child && node->param && len) {
			child = node->param;
			match->param[match->param_count].name = child->segment + 1;
			match->param[match->param_count].name_len = child->len - 2;
			match->param[match->param_count].value = segment;
			match->param[match->param_count].value_len = len;
			match->param_count++;
		}
		if (!child)
			return NULL;
		node = child;
	}
	return node;
}

void router_find(const struct router *router, const char *method, const char *path,
		 struct route_match *ret)
{
	const struct node *node;

	*ret = (struct route_match){ 0 };
	if (*path != '/')
		return;
	node = router_walk(router, path, ret);
	if (!node || !node->leaves)
		return;

	ret->allow = node->allow;
	if (str_eq(method, "HEAD"))
		method = "GET";
	for (const struct leaf *leaf = node->leaves; leaf; leaf = leaf->next)
		if (str_eq(leaf->route->method, method))
			ret->route = leaf->route;
}
