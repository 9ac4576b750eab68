/* Recordings: control while the call is up, what there is, and the sound itself
 *
 * A WAV is made as it is sent, chunk by chunk, so that any part of it costs only that part. An Opus file is encoded by a
 * thread of its own into memory while the request waits parked: nothing of it ever touches the disk in the clear.
 */
#include "api/private.h"

#include "base/work.h"
#include "media/opus_file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define OPUS_WAIT_MS 300000
#define FINISH_MS 50
#define FINISH_TRIES 20

/* ---- record-call ---- */

static const char *const actions[] = { "start", "stop", "pause", "resume", NULL };
static const char *const layouts[] = { "mono", "stereo", NULL };

static struct api_done *record_call(struct api_req *req)
{
	struct record_wish wish = { 0 };
	struct command command = { .type = COMMAND_RECORD };
	json_t *complaints = NULL, *body;
	struct reply *reply = NULL;
	struct api_done *no;
	int action;

	api_id(req->body, "call_id", true, &command.call_id, &complaints);
	action = api_word(req->body, "action", actions, -1, &complaints);
	wish.stereo = api_word(req->body, "layout", layouts, 1, &complaints) == 1;
	api_required(req->body, "action", &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	wish.action = (__typeof__(wish.action))action;
	command.body = (void *)xmemdup(&wish, sizeof(wish));
	no = api_ask_live(req, &command, &reply);
	if (no)
		return no;
	if (!reply->recording)
		return api_fail_reply(req, reply);
	body = json_pack("{s:o}", "recording", recording_view_json(reply->recording));
	reply_free(reply);
	return api_json(req, 200, body);
}

/* ---- which there are ---- */

static struct api_done *recordings_list(struct api_req *req)
{
	struct recording_filter filter = { 0 };
	struct recording_row *rows = NULL;
	struct db_page_info info;
	struct api_list_out list;
	json_t *complaints = NULL;
	struct api_done *no = api_page(req, &filter.page);
	int state, r;

	if (no)
		return no;
	api_filter_id(req, "call_id", &filter.call, &complaints);
	api_filter_id(req, "profile_id", &filter.profile, &complaints);
	api_filter_id(req, "user_id", &filter.user, &complaints);
	api_filter_time(req, "started_after", &filter.started_after, &complaints);
	api_filter_time(req, "started_before", &filter.started_before, &complaints);
	state = api_filter_word(req, "state", recording_row_states, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	filter.state = state >= 0 ? recording_row_states[state] : NULL;
	if (req->user->role == USER_AGENT)
		filter.visible_to = req->user->id;
	r = recording_list(req->db, req->arena, req->user->tenant, &filter, &rows, &info);
	if (r)
		return api_fail(req, r);
	api_list_begin(req, &info, &list);
	for (size_t i = 0; i < info.rows; i++) {
		jot_open(&list.rows, NULL, '{');
		jot_fields(&list.rows, recording_fields, &rows[i]);
		jot_close(&list.rows, '}');
	}
	return api_list_end(req, &list);
}

/* Agents hear their own calls, on either side of them, and those of their profiles. */
static struct api_done *may_hear(struct api_req *req, const struct recording_row *row)
{
	struct sip_profile profile = { 0 };
	int r;

	if (req->user->role != USER_AGENT || id_eq(row->user_id, req->user->id) ||
	    id_eq(row->other_user_id, req->user->id))
		return NULL;
	r = id_is_none(row->profile_id) ? DB_E_NONE
					: profile_get(req->db, req->arena, req->user->tenant,
						      row->profile_id, &profile);
	if (r && r != DB_E_NONE)
		return api_fail(req, r);
	return !r && id_eq(profile.owner, req->user->id) ? NULL : api_forbidden(req);
}

static struct api_done *find(struct api_req *req, struct recording_row *ret)
{
	struct id id;
	int r;

	if (!id_parse(web_param(req->web, "id"), &id))
		return api_not_found(req);
	r = recording_get(req->db, req->arena, req->user->tenant, id, ret);
	return r ? api_fail(req, r) : may_hear(req, ret);
}

static struct api_done *recording_read(struct api_req *req)
{
	struct recording_row row;
	struct api_done *no = find(req, &row);

	return no ?: api_ok(req, 200, recording_fields, &row);
}

static char *path_of(const struct api_req *req, const struct recording_row *row)
{
	return arena_printf(req->arena, "%s/%s/%s", req->api->setup.recordings_dir,
			    id_str(row->tenant_id), row->storage);
}

struct deleting {
	struct api_req *req;
	struct id id, left;
};

static int delete_row(struct db *db, void *arg)
{
	struct deleting *deleting = arg;
	int r = recording_delete(db, deleting->req->user->tenant, deleting->id, &deleting->left);

	if (r == 0)
		r = api_audit(deleting->req, db, "recording.delete", "recording", deleting->id,
			      NULL);
	return r < 0 ? err_pass(r) : r;
}

static void tell_call(struct api_req *req, const struct recording_row *row, struct id left)
{
	struct recording_deleted deleted = { row->id, left };
	struct command command = { .type = COMMAND_RECORDING_DELETED, .call_id = row->call_id };

	command.asker = api_asker(req);
	command.body = (void *)xmemdup(&deleted, sizeof(deleted));
	if (!api_tell(req->api, &command))
		log_rated(LOG_WARN_, "a live call may name a recording that was deleted");
}

/* The key first: without it the file is noise, whatever becomes of it. */
static struct api_done *recording_remove(struct api_req *req)
{
	struct deleting deleting = { .req = req };
	struct recording_row row;
	struct api_done *no = find(req, &row);
	int r;

	if (no)
		return no;
	if (row.legal_hold)
		return api_error(req, 409, "legal_hold");
	deleting.id = row.id;
	r = db_transact(req->db, delete_row, &deleting);
	if (r == DB_E_NONE)
		return api_wrong_state(req, "A recording is deleted once it has ended.", row.state);
	if (r)
		return api_fail(req, r);
	tell_call(req, &row, deleting.left);
	if (unlink(path_of(req, &row)))
		log_warn("the file of a deleted recording stays", LOG_ID("recording", row.id));
	return api_no_content(req);
}

/* ---- how long they are kept ---- */

struct holding {
	struct api_req *req;
	struct id id;
	bool held;
};

static int hold_row(struct db *db, void *arg)
{
	struct holding *holding = arg;
	int r = recording_hold(db, holding->req->user->tenant, holding->id, holding->held);

	if (r == 0)
		r = api_audit(holding->req, db,
			      holding->held ? "recording.hold" : "recording.release", "recording",
			      holding->id, NULL);
	return r < 0 ? err_pass(r) : r;
}

static struct api_done *recording_change(struct api_req *req)
{
	struct holding holding = { .req = req };
	json_t *complaints = NULL;
	struct recording_row row;
	struct api_done *no = find(req, &row);
	int r;

	if (no)
		return no;
	holding.id = row.id;
	holding.held = row.legal_hold;
	api_bool(req->body, "legal_hold", &holding.held, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = db_transact(req->db, hold_row, &holding);
	if (r == DB_E_NONE)
		return api_wrong_state(req, "A recording is held once it has ended.", row.state);
	if (r)
		return api_fail(req, r);
	row.legal_hold = holding.held;
	return api_ok(req, 200, recording_fields, &row);
}

static struct api_done *settings_answer(struct api_req *req, int days)
{
	int standard = req->api->setup.recordings_keep_days;
	json_t *own = days == RECORDING_KEEP_DEFAULT ? json_null() : json_integer(days);

	return api_json(req, 200,
			json_pack("{s:o, s:i}", "retention_days", own, "default_retention_days",
				  standard));
}

static struct api_done *settings_read(struct api_req *req)
{
	int days;
	int r = recording_keep_get(req->db, req->user->tenant, &days);

	return r ? api_fail(req, r) : settings_answer(req, days);
}

struct keeping {
	struct api_req *req;
	int days;
};

static int keep_days(struct db *db, void *arg)
{
	struct keeping *keeping = arg;
	int r = recording_keep_put(db, keeping->req->user->tenant, keeping->days);

	if (r == 0)
		r = api_audit(keeping->req, db, "recording.retention", "recording", ID_NONE,
			      json_pack("{s:i}", "days", keeping->days));
	return r < 0 ? err_pass(r) : r;
}

/* null: as the operator says. */
static struct api_done *settings_change(struct api_req *req)
{
	struct keeping keeping = { .req = req };
	json_t *complaints = NULL;
	int r = recording_keep_get(req->db, req->user->tenant, &keeping.days);

	if (r)
		return api_fail(req, r);
	if (json_is_null(json_object_get(req->body, "retention_days")))
		keeping.days = RECORDING_KEEP_DEFAULT;
	api_int(req->body, "retention_days", 0, RECORDING_KEEP_MAX, &keeping.days, &complaints);
	if (complaints)
		return api_invalid(req, complaints);
	r = db_transact(req->db, keep_days, &keeping);
	return r ? api_fail(req, r) : settings_answer(req, keeping.days);
}

/* ---- the sound: WAV ---- */

struct wav_source {
	struct vault_reader *reader;
	uint8_t header[WAV_HEADER];
};

static ssize_t wav_read(void *arg, uint64_t at, char *buf, size_t max)
{
	struct wav_source *wav = arg;
	size_t len;

	if (at < WAV_HEADER) {
		len = max < WAV_HEADER - at ? max : (size_t)(WAV_HEADER - at);
		memcpy(buf, wav->header + at, len);
		return (ssize_t)len;
	}
	if (vault_read(wav->reader, at - WAV_HEADER, buf, max, &len)) {
		log_rated(LOG_ERROR_, "a recording's file is damaged");
		return -1;
	}
	return (ssize_t)len;
}

static void wav_free(void *arg)
{
	struct wav_source *wav = arg;

	vault_reader_free(wav->reader);
	free(wav);
}

static char *name_of(const struct api_req *req, struct id id, int64_t started_at,
		     const char *suffix)
{
	char time[TIME_STR_SIZE];

	(void)time_print(started_at, time);
	for (char *c = time; *c; c++)
		*c = *c == ':' ? '-' : *c;
	time[19] = '\0'; /* to the second */
	return arena_printf(req->arena, "recording-%s-%.8s.%s", time, id_str(id) + 28, suffix);
}

static struct api_done *answer_wav(struct api_req *req, const struct recording_row *row,
				   struct vault_reader *reader)
{
	struct wav_source *wav = xzalloc(sizeof(*wav));
	struct vault_form form = vault_form(reader);
	struct web_source source = {
		.size = WAV_HEADER + vault_size(reader),
		.read = wav_read,
		.free = wav_free,
		.arg = wav,
	};
	struct web_file file = {
		.source = &source,
		.fd = -1,
		.type = "audio/wav",
		.etag = row->sha256,
		.name = name_of(req, row->id, row->started_at, "wav"),
		.attachment = true,
	};

	wav->reader = reader;
	wav_header(wav->header, &form, vault_size(reader));
	web_answer_file(req->web, &file);
	return api_gone(req);
}

/* ---- the sound: Opus ---- */

struct opus_job {
	atomic_int refs; /* the encoder's and the request's */
	struct web_token token;
	struct vault_reader *reader;
	struct id id;
	int64_t started_at;
	char etag[80]; /* by the time it is used the request's own memory has been used anew */
	int fd, result;
	atomic_bool finished, stop;
};

static void opus_unref(struct opus_job *job)
{
	if (atomic_fetch_sub(&job->refs, 1) != 1)
		return;
	vault_reader_free(job->reader);
	if (job->fd >= 0)
		close(job->fd);
	free(job);
}

/* The request ends, perhaps before the encoder. */
static void opus_leave(void *arg)
{
	struct opus_job *job = arg;

	atomic_store(&job->stop, true);
	opus_unref(job);
}

static void opus_run(void *arg)
{
	struct opus_job *job = arg;

	job->result = opus_file_write(job->reader, job->fd, &job->stop);
	atomic_store(&job->finished, true);
	web_wake(job->token);
	opus_unref(job);
}

static struct api_done *opus_next(struct api_req *req, void *state)
{
	struct opus_job *job = state;
	struct web_file file = { .type = "audio/ogg", .attachment = true };

	if (!atomic_load(&job->finished)) {
		web_add_header(req->web, "Retry-After", "30");
		return api_error(req, 503, "overloaded");
	}
	if (job->result)
		return api_fail(req, -EIO);
	file.fd = job->fd;
	job->fd = -1;
	file.etag = job->etag;
	file.name = name_of(req, job->id, job->started_at, "opus");
	web_answer_file(req->web, &file);
	return api_gone(req);
}

static struct api_done *answer_opus(struct api_req *req, const struct recording_row *row,
				    struct vault_reader *reader)
{
	struct opus_job *job = xzalloc(sizeof(*job));
	struct work work = { .run = opus_run, .arg = job };

	atomic_init(&job->refs, 2);
	job->reader = reader;
	job->id = row->id;
	job->started_at = row->started_at;
	(void)snprintf(job->etag, sizeof(job->etag), "%s-opus", row->sha256);
	job->fd = memfd_create("opus", MFD_CLOEXEC);
	job->token = web_park_token(req->web);
	if (job->fd < 0 || !work_submit(req->api->encoders, &work)) {
		web_token_drop(job->token);
		atomic_store(&job->refs, 1);
		opus_unref(job);
		web_add_header(req->web, "Retry-After", "10");
		return api_error(req, 503, "overloaded");
	}
	return api_park(req, OPUS_WAIT_MS, opus_next, job, opus_leave);
}

/* ---- download-recording ---- */

static const char *const formats[] = { "wav", "opus", NULL };

static struct api_done *which(struct api_req *req, struct recording_row *ret, int *ret_format)
{
	struct id recording = ID_NONE, call = ID_NONE;
	json_t *complaints = NULL;
	int r;

	api_filter_id(req, "recording_id", &recording, &complaints);
	api_filter_id(req, "call_id", &call, &complaints);
	*ret_format = api_filter_word(req, "format", formats, &complaints);
	if (!complaints && id_is_none(recording) && id_is_none(call))
		field_complain(&complaints, "recording_id", "Name a recording_id or a call_id.");
	if (complaints)
		return api_invalid(req, complaints);
	if (!id_is_none(recording))
		r = recording_get(req->db, req->arena, req->user->tenant, recording, ret);
	else
		r = recording_of_call(req->db, req->arena, req->user->tenant, call, ret);
	if (!r && !id_is_none(recording) && !id_is_none(call) && !id_eq(ret->call_id, call))
		r = DB_E_NONE;
	return r ? api_fail(req, r) : may_hear(req, ret);
}

static struct api_done *open_sound(struct api_req *req, const struct recording_row *row,
				   struct vault_reader **ret)
{
	uint8_t key[RECORDING_KEY];
	int r;

	if (row->size <= WAV_HEADER)
		return api_wrong_state(req, "There is nothing to be heard of this recording.",
				       row->state);
	r = recording_open_key(req->api->setup.seal, row, key);
	if (!r)
		r = vault_open(path_of(req, row), key, row->id.byte, ret);
	seal_forget(key, sizeof(key));
	/* What the row says is what was hashed: no more of it, and never less. */
	if (!r && (int64_t)vault_size(*ret) + WAV_HEADER >= row->size) {
		vault_cut(*ret, (uint64_t)row->size - WAV_HEADER);
		return NULL;
	}
	*ret = vault_reader_free(r ? NULL : *ret);
	log_error("a recording cannot be opened", LOG_ID("recording", row->id),
		  LOG_INT("outcome", r));
	return api_error(req, 500, "recording_unreadable");
}

/* As far as it can be kept. */
static const char *range_asked(const struct api_req *req)
{
	const char *range = web_header(req->web, "Range");

	return range && strlen(range) <= 100 && str_is_clean_utf8(range, strlen(range)) ? range
											: NULL;
}

static struct api_done *answer_sound(struct api_req *req, const struct recording_row *row,
				     int format)
{
	struct vault_reader *reader = NULL;
	struct api_done *no;
	unsigned wait = 0;
	int r;

	if (format > 0)
		wait = throttle_take(req->api->throttle, THROTTLE_OPUS, id_str(req->user->id), NULL,
				     clock_mono_ms());
	if (wait)
		return api_too_many(req, "too_many_attempts", (int)wait);
	no = open_sound(req, row, &reader);
	if (no)
		return no;
	r = api_audit(req, req->db, "recording.download", "recording", row->id,
		      json_pack("{s:s, s:s?}", "format", formats[format > 0], "range",
				range_asked(req)));
	if (r) {
		vault_reader_free(reader);
		return api_fail(req, r);
	}
	return format > 0 ? answer_opus(req, row, reader) : answer_wav(req, row, reader);
}

static struct api_done *download_next(struct api_req *req, void *state);

/* Whoever heard that it is ready may be faster than the journal is: a recording that is being finished is waited for. */
static struct api_done *download_try(struct api_req *req, unsigned tries)
{
	struct recording_row row;
	struct api_done *no;
	int format;

	no = which(req, &row, &format);
	if (no)
		return no;
	if (!str_eq(row.state, "processing") || tries >= FINISH_TRIES)
		return answer_sound(req, &row, format);
	tries++;
	return api_park(req, FINISH_MS, download_next, xmemdup(&tries, sizeof(tries)), free);
}

static struct api_done *download_next(struct api_req *req, void *state)
{
	return download_try(req, *(unsigned *)state);
}

static struct api_done *download(struct api_req *req)
{
	return download_try(req, 0);
}

const struct api_route recording_routes[] = {
	{ "POST", "/api/record-call/", "recordCall", record_call, SCOPE_CALLS_CONTROL, 0 },
	{ "GET", "/api/recordings/", "listRecordings", recordings_list, SCOPE_REPORTS_READ, 0 },
	{ "GET", "/api/recordings/{id}/", "getRecording", recording_read, SCOPE_REPORTS_READ, 0 },
	{ "PATCH", "/api/recordings/{id}/", "updateRecording", recording_change, SCOPE_ADMIN, 0 },
	{ "GET", "/api/recording-settings/", "getRecordingSettings", settings_read,
	  SCOPE_REPORTS_READ, 0 },
	{ "PATCH", "/api/recording-settings/", "updateRecordingSettings", settings_change,
	  SCOPE_ADMIN, 0 },
	{ "DELETE", "/api/recordings/{id}/", "deleteRecording", recording_remove, SCOPE_ADMIN, 0 },
	{ "GET", "/api/download-recording/", "downloadRecording", download, SCOPE_REPORTS_READ, 0 },
	{ 0 },
};
