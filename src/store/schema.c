/* The schema, version by version. A version that was released is never edited: the next one changes it.
 *
 * Ids are made by us, times are microseconds, enumerations are the API's words, lists and objects are JSON texts.
 * Pairs (tenant_id, id) are unique so that a row can only refer to rows of its own tenant.
 * The log's tables refer to nothing: a call stays when its profile or user goes, and writing it never fails.
 */
#include "store/store.h"

#include "store/private.h"

static const char accounts_sql[] =
	"CREATE TABLE tenant ("
	" id @id NOT NULL PRIMARY KEY, name TEXT NOT NULL,"
	" max_calls INTEGER NOT NULL, calls_per_minute INTEGER NOT NULL, minutes_per_day INTEGER NOT NULL,"
	" allowed TEXT, blocked TEXT, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,"
	" next_extension INTEGER NOT NULL DEFAULT 100);"

	"CREATE TABLE app_user ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL REFERENCES tenant (id),"
	" email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, role TEXT NOT NULL, extension TEXT NOT NULL,"
	" default_profile_id @id, time_zone TEXT NOT NULL, language TEXT NOT NULL, active BOOLEAN NOT NULL,"
	" password_hash TEXT, token_epoch INTEGER NOT NULL, last_login_at BIGINT,"
	" created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,"
	" UNIQUE (tenant_id, extension), UNIQUE (tenant_id, id));"
	"CREATE INDEX app_user_created ON app_user (tenant_id, created_at, id);"
	"CREATE INDEX app_user_name ON app_user (tenant_id, name, id);"
	"CREATE INDEX app_user_email ON app_user (tenant_id, email, id);"

	"CREATE TABLE session ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, user_id @id NOT NULL, family_id @id NOT NULL,"
	" token_hash TEXT NOT NULL UNIQUE, client_addr TEXT, user_agent TEXT, family_at BIGINT NOT NULL,"
	" created_at BIGINT NOT NULL, expires_at BIGINT NOT NULL, used_at BIGINT, revoked_at BIGINT,"
	" FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE);"
	"CREATE INDEX session_of_user ON session (tenant_id, user_id);"
	"CREATE INDEX session_family ON session (family_id);"
	"CREATE INDEX session_expires ON session (expires_at);"

	"CREATE TABLE setting ("
	" tenant_id TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, updated_at BIGINT NOT NULL,"
	" PRIMARY KEY (tenant_id, name));"

	"CREATE TABLE idempotency_key ("
	" tenant_id @id NOT NULL, user_id @id NOT NULL, idem_key TEXT NOT NULL, route TEXT NOT NULL,"
	" request_hash TEXT NOT NULL, status INTEGER NOT NULL, body TEXT, location TEXT,"
	" created_at BIGINT NOT NULL, PRIMARY KEY (tenant_id, user_id, idem_key));"
	"CREATE INDEX idempotency_created ON idempotency_key (created_at);"

	"CREATE TABLE audit ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, user_id @id, action TEXT NOT NULL,"
	" object TEXT, object_id @id, client_addr TEXT, detail TEXT, time BIGINT NOT NULL);"
	"CREATE INDEX audit_time ON audit (tenant_id, time, id);"
	"CREATE INDEX audit_object ON audit (tenant_id, object_id, time);";

static const char lines_sql[] =
	"CREATE TABLE sip_profile ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL REFERENCES tenant (id), name TEXT NOT NULL,"
	" server TEXT NOT NULL, port INTEGER NOT NULL, transport TEXT NOT NULL, username TEXT NOT NULL,"
	" auth_username TEXT, secret TEXT, outbound_proxy TEXT, register BOOLEAN NOT NULL,"
	" enabled BOOLEAN NOT NULL, expires INTEGER NOT NULL, caller_number TEXT, caller_name TEXT,"
	" caller_mode TEXT NOT NULL, codecs TEXT NOT NULL, dtmf_mode TEXT NOT NULL, srtp TEXT NOT NULL,"
	" max_calls INTEGER NOT NULL, record TEXT NOT NULL, owner @id NOT NULL, incoming_type TEXT NOT NULL,"
	" incoming_target TEXT, incoming_id @id, line_token TEXT NOT NULL UNIQUE,"
	" min_expires INTEGER NOT NULL, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,"
	" UNIQUE (tenant_id, id), UNIQUE (tenant_id, server, username),"
	" FOREIGN KEY (tenant_id, owner) REFERENCES app_user (tenant_id, id));"
	"CREATE INDEX sip_profile_created ON sip_profile (tenant_id, created_at, id);"
	"CREATE INDEX sip_profile_name ON sip_profile (tenant_id, name, id);"
	"CREATE INDEX sip_profile_owner ON sip_profile (tenant_id, owner, created_at, id);"

	"CREATE TABLE device ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, user_id @id NOT NULL, name TEXT NOT NULL,"
	" username TEXT NOT NULL UNIQUE, secret TEXT NOT NULL, created_at BIGINT NOT NULL,"
	" updated_at BIGINT NOT NULL,"
	" FOREIGN KEY (tenant_id, user_id) REFERENCES app_user (tenant_id, id) ON DELETE CASCADE);"
	"CREATE INDEX device_created ON device (tenant_id, created_at, id);"
	"CREATE INDEX device_user ON device (tenant_id, user_id, created_at, id);";

static const char calls_sql[] =
	"CREATE TABLE call ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, profile_id @id, user_id @id,"
	" direction TEXT NOT NULL, state TEXT NOT NULL, \"from\" TEXT, \"to\" TEXT, from_name TEXT,"
	" created_at BIGINT NOT NULL, ringing_at BIGINT, answered_at BIGINT, ended_at BIGINT,"
	" ring_s INTEGER NOT NULL, talk_s INTEGER NOT NULL, hold_s INTEGER NOT NULL,"
	" hold_local BOOLEAN NOT NULL, hold_remote BOOLEAN NOT NULL, recording TEXT NOT NULL,"
	" recording_id @id, room TEXT, end_reason TEXT, sip_code INTEGER NOT NULL, q850 INTEGER NOT NULL,"
	" hangup_by TEXT, transferred_from @id, transferred_to @id, variables TEXT,"
	" call_seq BIGINT NOT NULL, last_at BIGINT NOT NULL);"
	"CREATE INDEX call_created ON call (tenant_id, created_at, id);"
	"CREATE INDEX call_profile ON call (tenant_id, profile_id, created_at, id);"
	"CREATE INDEX call_user ON call (tenant_id, user_id, created_at, id);"
	"CREATE INDEX call_from ON call (tenant_id, \"from\", created_at, id);"
	"CREATE INDEX call_to ON call (tenant_id, \"to\", created_at, id);"
	"CREATE INDEX call_talk ON call (tenant_id, talk_s, id);"
	"CREATE INDEX call_recorded ON call (tenant_id, created_at, id) WHERE recording_id IS NOT NULL;"
	"CREATE INDEX call_open ON call (id) WHERE ended_at IS NULL;"

	"CREATE TABLE call_leg ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, call_id @id NOT NULL, position INTEGER NOT NULL,"
	" role TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL, muted BOOLEAN NOT NULL, address TEXT,"
	" codec TEXT, profile_id @id, device_id @id, user_id @id, created_at BIGINT, ringing_at BIGINT,"
	" answered_at BIGINT, ended_at BIGINT, end_reason TEXT, sip_code INTEGER NOT NULL,"
	" quality_known BOOLEAN NOT NULL, mos DOUBLE PRECISION NOT NULL, jitter_ms DOUBLE PRECISION NOT NULL,"
	" loss_pct DOUBLE PRECISION NOT NULL, rtt_ms DOUBLE PRECISION NOT NULL);"
	"CREATE INDEX call_leg_call ON call_leg (call_id, position);"

	"CREATE TABLE call_event ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, call_id @id NOT NULL, call_seq BIGINT NOT NULL,"
	" seq BIGINT NOT NULL, type TEXT NOT NULL, time BIGINT NOT NULL, state TEXT, detail TEXT);"
	"CREATE INDEX call_event_call ON call_event (call_id, call_seq);"

	"CREATE TABLE tenant_seq (tenant_id @id NOT NULL PRIMARY KEY, seq BIGINT NOT NULL);";

static const char prompts_sql[] =
	"CREATE TABLE prompt ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL REFERENCES tenant (id), name TEXT NOT NULL,"
	" source TEXT NOT NULL, say TEXT, voice TEXT, duration_ms INTEGER NOT NULL, size BIGINT NOT NULL,"
	" sha256 TEXT NOT NULL, created_by @id, created_at BIGINT NOT NULL, updated_at BIGINT NOT NULL,"
	" UNIQUE (tenant_id, id));"
	"CREATE INDEX prompt_created ON prompt (tenant_id, created_at, id);"
	"CREATE INDEX prompt_name ON prompt (tenant_id, name, id);";

static const char recordings_sql[] =
	"CREATE TABLE recording ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, call_id @id NOT NULL, profile_id @id, user_id @id,"
	" state TEXT NOT NULL, layout TEXT NOT NULL, rate INTEGER NOT NULL, started_at BIGINT NOT NULL,"
	" ended_at BIGINT, duration_ms BIGINT NOT NULL, size BIGINT NOT NULL, sha256 TEXT, reason TEXT,"
	" repaired BOOLEAN NOT NULL, storage TEXT NOT NULL, secret TEXT, seq BIGINT NOT NULL);"
	"CREATE INDEX recording_started ON recording (tenant_id, started_at, id);"
	"CREATE INDEX recording_call ON recording (tenant_id, call_id, started_at);"
	"CREATE INDEX recording_open ON recording (id) WHERE state IN ('recording', 'paused', 'processing');";

static const char rooms_sql[] =
	"CREATE TABLE room ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, created_by @id, name TEXT NOT NULL, pin TEXT,"
	" moderator_pin TEXT, max_members INTEGER NOT NULL, grace_s INTEGER NOT NULL,"
	" join_muted BOOLEAN NOT NULL, tones BOOLEAN NOT NULL, wait_for_moderator BOOLEAN NOT NULL,"
	" end_on_moderator_exit BOOLEAN NOT NULL, record BOOLEAN NOT NULL, keys BOOLEAN NOT NULL,"
	" locked BOOLEAN NOT NULL, created_at BIGINT NOT NULL, seq BIGINT NOT NULL,"
	" UNIQUE (tenant_id, name));";

/* A prompt that is deleted is taken out of the profiles (prompt.c): SQLite cannot add a key of two columns. */
static const char tones_sql[] =
	"ALTER TABLE sip_profile ADD COLUMN mask_dtmf BOOLEAN NOT NULL DEFAULT FALSE;"
	"ALTER TABLE sip_profile ADD COLUMN hold_music @id;";

static const char keeping_sql[] =
	"ALTER TABLE recording ADD COLUMN other_user_id @id;"
	"ALTER TABLE recording ADD COLUMN legal_hold BOOLEAN NOT NULL DEFAULT FALSE;"
	"CREATE INDEX recording_kept ON recording (tenant_id, started_at, id)"
	" WHERE state IN ('ready', 'failed');"
	"CREATE INDEX recording_storage ON recording (tenant_id, storage);";

static const char monitors_sql[] =
	"CREATE TABLE monitor ("
	" id @id NOT NULL PRIMARY KEY, tenant_id @id NOT NULL, call_id @id NOT NULL, profile_id @id, user_id @id,"
	" room TEXT, mode TEXT NOT NULL, state TEXT NOT NULL, muted BOOLEAN NOT NULL, beep BOOLEAN NOT NULL,"
	" follow_agent BOOLEAN NOT NULL, target_leg @id, leg_id @id, address TEXT, created_at BIGINT NOT NULL,"
	" started_at BIGINT, ended_at BIGINT, reason TEXT, seq BIGINT NOT NULL);"
	"CREATE INDEX monitor_call ON monitor (tenant_id, call_id, created_at);"
	"CREATE INDEX monitor_open ON monitor (id) WHERE ended_at IS NULL;";

static const char beep_sql[] =
	"ALTER TABLE sip_profile ADD COLUMN record_beep BOOLEAN NOT NULL DEFAULT FALSE;";

/* The recordings of a call, the audit of a thing are sought, not scanned for; what an agent may see is counted in the index alone. */
static const char seeking_sql[] =
	"DROP INDEX recording_call;"
	"CREATE INDEX recording_call ON recording (tenant_id, call_id, started_at, id);"
	"DROP INDEX recording_started;"
	"CREATE INDEX recording_started ON recording (tenant_id, started_at, id, state, user_id, other_user_id,"
	" profile_id);"
	"DROP INDEX audit_object;"
	"CREATE INDEX audit_object ON audit (tenant_id, object_id, time, id);";

static const char bindings_sql[] = "ALTER TABLE device ADD COLUMN bindings TEXT;";

static const struct db_migration migrations[] = {
	{ 1, "accounts", accounts_sql },
	{ 2, "profiles and devices", lines_sql },
	{ 3, "calls", calls_sql },
	{ 4, "prompts", prompts_sql },
	{ 5, "recordings", recordings_sql },
	{ 6, "rooms", rooms_sql },
	{ 7, "masking and hold music", tones_sql },
	{ 8, "how long recordings are kept", keeping_sql },
	{ 9, "monitors", monitors_sql },
	{ 10, "a beep while recorded", beep_sql },
	{ 11, "recordings and the audit by what they are of", seeking_sql },
	{ 12, "where phones are", bindings_sql },
};

int store_migrate(struct db *db)
{
	int r = db_migrate(db, migrations, ARRAY_LEN(migrations));

	return r < 0 ? err_pass(r) : r;
}

int store_prune(struct db *db, int64_t now_us)
{
	int r = session_prune(db, now_us);

	if (r == 0)
		r = idempotency_prune(db, now_us);
	return r < 0 ? err_pass(r) : r;
}
