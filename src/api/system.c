/* What operators and tools ask: health, metrics, the schema and its page */
#include "api/private.h"

#include "api/asset.h"
#include "base/metric.h"

#define STATUS_MS 1000

static struct api_done *healthz(struct api_req *req)
{
	return api_json(req, 200,
			json_pack("{s:s, s:s}", "status", "ok", "version",
				  req->api->setup.version));
}

/* The call loop's own words, or NULL when it does not answer. */
static json_t *call_loop_status(struct api_req *req)
{
	struct command command = { .type = COMMAND_STATUS, .asker = { .role = ASKER_ADMIN } };
	struct reply *reply = call_ask(req->api->setup.gate, &command, STATUS_MS);
	json_t *status = NULL;

	if (reply && reply->code == REPLY_OK)
		status = reply->text ? json_loads(reply->text, 0, NULL) : json_object();
	reply_free(reply);
	return status;
}

static struct api_done *readyz(struct api_req *req)
{
	const struct api_setup *setup = &req->api->setup;
	auto_(buf_fini) struct buf why = BUF_MAX(512);
	int db = db_ping(req->db);
	json_t *calls = call_loop_status(req);
	bool others = !setup->ready || setup->ready(setup->ready_arg, &why);
	bool ready = !db && calls && others;
	json_t *body = json_pack("{s:s, s:{s:s, s:s, s:s}, s:o}", "status",
				 ready ? "ready" : "not_ready", "checks", "database",
				 db ? "away" : "ok", "calls", calls ? "ok" : "no answer", "daemon",
				 others	    ? "ok"
				 : why.data ? why.data
					    : "not ready",
				 "calls", calls ? calls : json_null());

	if (!ready)
		web_add_header(req->web, "Retry-After", "1");
	return api_json(req, ready ? 200 : 503, body);
}

static struct api_done *metrics(struct api_req *req)
{
	struct buf out = BUF_MAX(4 << 20);

	metric_print_all(&out);
	return api_text(req, 200, "text/plain; version=0.0.4; charset=utf-8", out.data, out.len);
}

static struct api_done *answer_asset(struct api_req *req, const char *type,
				     const struct asset *asset)
{
	web_add_header(req->web, "Cache-Control", "no-cache");
	return api_text(req, 200, type, xmemdup(asset->data, asset->len), asset->len);
}

/* As drf-spectacular: YAML, or JSON by ?format=json or Accept. */
static struct api_done *schema(struct api_req *req)
{
	const char *format = web_query(req->web, "format"),
		   *accept = web_header(req->web, "Accept");
	bool json = format ? str_eq(format, "json") : accept && strstr(accept, "application/json");

	if (format && !json && !str_eq(format, "yaml"))
		return api_invalid_field(req, "format", "Select json or yaml.");
	return json ? answer_asset(req, "application/vnd.oai.openapi+json", &asset_openapi_json)
		    : answer_asset(req, "application/vnd.oai.openapi", &asset_openapi_yaml);
}

static struct api_done *docs(struct api_req *req)
{
	web_add_header(
		req->web, "Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
		"frame-ancestors 'none'; base-uri 'none'");
	return answer_asset(req, "text/html; charset=utf-8", &asset_docs_html);
}

static struct api_done *docs_script(struct api_req *req)
{
	return answer_asset(req, "text/javascript; charset=utf-8", &asset_docs_js);
}

const struct api_route system_routes[] = {
	{ "GET", "/healthz", "getHealth", healthz, SCOPE_NONE, API_RAW | API_QUIET },
	{ "GET", "/readyz", "getReadiness", readyz, SCOPE_NONE, API_RAW | API_QUIET },
	{ "GET", "/metrics", "getMetrics", metrics, SCOPE_NONE, API_RAW | API_QUIET },
	{ "GET", "/api/schema/", "getSchema", schema, SCOPE_NONE, API_RAW },
	{ "GET", "/api/docs/", "getDocs", docs, SCOPE_NONE, API_RAW },
	{ "GET", "/api/docs/docs.js", "getDocsScript", docs_script, SCOPE_NONE, API_RAW },
	{ 0 },
};
