/* api/asset.h - files that the build puts into the program (src/api/embed.py) */
#pragma once

#include <stddef.h>

struct asset {
	const char *data;
	size_t len;
};

extern const struct asset asset_openapi_yaml, asset_openapi_json, asset_docs_html, asset_docs_js;
