/* daemon/settings.c - the table, and the rules between its keys */
#include "daemon/settings.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <unistd.h>

static const char *const formats[] = { "logfmt", "json", NULL };
static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const privates[] = { "auto", "yes", "no", NULL };
static const char *const signups[] = { "open", "closed", NULL };

const struct config_item settings[] = {
	{ "daemon", "data", CONFIG_STR, "./data", 1, 900,
	  .help = "Directory of the database, keys, recordings and prompts. Made at the first run." },
	{ "daemon", "drain_s", CONFIG_INT, "30", 0, 86400, .live = true,
	  .help = "After SIGTERM: how long calls may go on before they are ended." },

	{ "http", "listen", CONFIG_ADDR, "127.0.0.1:8080",
	  .help = "Where the API, the events and the dashboard are." },
	{ "http", "workers", CONFIG_INT, "4", 1, 64,
	  .help = "Requests worked on at the same time." },
	{ "http", "queue", CONFIG_INT, "256", 1, 100000,
	  .help = "Requests that may wait for a worker; beyond, the answer is 503." },
	{ "http", "max_connections", CONFIG_INT, "10000", 10, 1000000,
	  .help = "Open connections in all." },
	{ "http", "max_per_address", CONFIG_INT, "500", 1, 1000000,
	  .help = "Open connections from one address." },
	{ "http", "origins", CONFIG_STR, "", 0, 2000,
	  .help = "Origins of other web pages that may use the API, separated by commas." },
	{ "http", "trust_forwarded", CONFIG_BOOL, "no",
	  .help = "The last X-Forwarded-For is the client's address (only behind a proxy of your own)." },

	{ "sip", "listen", CONFIG_ADDR, "127.0.0.1:5060",
	  .help = "UDP and TCP for providers and phones." },
	{ "sip", "tls_listen", CONFIG_ADDR, "",
	  .help = "TLS for phones and providers; none: not offered." },
	{ "sip", "public_address", CONFIG_STR, "", 0, 200,
	  .help = "Our address as the other side sees it, where that differs from the one listened on." },
	{ "sip", "realm", CONFIG_STR, "jackfield", 1, 200,
	  .help = "Digest realm and domain of the phones. Changing it makes phones sign in anew." },
	{ "sip", "rate", CONFIG_INT, "20", 1, 100000,
	  .help = "Messages a second from an unknown source." },
	{ "sip", "burst", CONFIG_INT, "60", 1, 100000,
	  .help = "Messages at once from an unknown source." },
	{ "sip", "max_channels", CONFIG_INT, "20000", 1, 1000000,
	  .help = "Parties of calls at once." },
	{ "sip", "session_expires", CONFIG_INT, "1800", 90, 86400,
	  .help = "Session timer offered, in seconds (RFC 4028)." },
	{ "sip", "registrations_per_second", CONFIG_INT, "200", 1, 10000,
	  .help = "How fast profiles register after a start." },

	{ "rtp", "address", CONFIG_STR, "", 0, 64,
	  .help = "Address that sound is sent and received on; none: the one SIP listens on." },
	{ "rtp", "port_min", CONFIG_INT, "20000", 1024, 65535, .help = "First port for sound." },
	{ "rtp", "port_max", CONFIG_INT, "29999", 1024, 65535, .help = "Last port for sound." },
	{ "rtp", "threads", CONFIG_INT, "0", 0, 256,
	  .help = "Threads that carry sound; 0: one for each core." },
	{ "rtp", "silence_s", CONFIG_INT, "60", 5, 3600,
	  .help = "A far end that sends neither sound nor RTCP for so long is asked whether it is there." },

	{ "db", "url", CONFIG_STR, "", 0, 2000, .secret = true, .env = "JACKFIELD_DB",
	  .help = "postgresql://user:password@host/name or sqlite:FILE; none: SQLite in the data directory." },
	{ "db", "connect_ms", CONFIG_INT, "5000", 100, 60000,
	  .help = "How long connecting may take." },
	{ "db", "statement_ms", CONFIG_INT, "10000", 100, 600000,
	  .help = "How long a statement may take." },

	{ "recordings", "directory", CONFIG_STR, "", 0, 900,
	  .help = "Where sound is kept, encrypted; none: recordings in the data directory." },
	{ "recordings", "min_free_mb", CONFIG_INT, "256", 0, 100000000,
	  .help = "Recording stops while the disk has less free than this." },
	{ "recordings", "retention_days", CONFIG_INT, "0", 0, 36500,
	  .help = "After how many days recordings are deleted, where a tenant has not said itself; 0: never." },
	{ "recordings", "orphan_days", CONFIG_INT, "7", 0, 36500,
	  .help = "After how many days a file is removed that no recording of its tenant knows; 0: never." },
	{ "recordings", "sweep_s", CONFIG_INT, "600", 1, 86400,
	  .help = "How often some of what has expired is looked for and removed." },

	{ "redis", "url", CONFIG_STR, "", 0, 2000, .secret = true, .env = "JACKFIELD_REDIS",
	  .help = "Cluster to join. This version runs on one machine only: leave it empty." },

	{ "log", "level", CONFIG_ENUM, "info", .names = levels, .live = true,
	  .help = "What is worth a line." },
	{ "log", "format", CONFIG_ENUM, "logfmt", .names = formats, .live = true,
	  .help = "Form of the lines." },
	{ "log", "personal", CONFIG_BOOL, "no", .live = true,
	  .help = "Numbers, names and addresses of people in full. Otherwise they are masked." },

	{ "security", "allow_private", CONFIG_ENUM, "auto", .names = privates,
	  .help = "Whether users may name servers on private and loopback addresses. auto: while HTTP listens on "
		  "loopback only." },
	{ "security", "signup", CONFIG_ENUM, "open", .names = signups,
	  .help = "Whether anybody may sign up." },

	{ "speech", "voice", CONFIG_STR, "en", 1, 32,
	  .help = "Voice of spoken texts, as espeak-ng names it." },

	{ "limits", "calls_per_profile", CONFIG_INT, "1000", 1, 1000000,
	  .help = "The most that an admin may set as a profile's max_calls." },
	{ "limits", "calls_per_tenant", CONFIG_INT, "1000", 1, 1000000,
	  .help = "Calls at once of a tenant without figures of its own." },
	{ "limits", "calls_per_minute", CONFIG_INT, "0", 0, 10000000,
	  .help = "Outgoing legs a tenant may begin in a minute; 0: any number." },
	{ "limits", "minutes_per_day", CONFIG_INT, "0", 0, 10000000,
	  .help = "Minutes a tenant may talk on outgoing legs in a day (UTC); 0: any number." },
	{ "limits", "ring_timeout_s", CONFIG_INT, "60", 5, 600,
	  .help = "How long is rung when a call does not say." },
	{ "limits", "max_duration_s", CONFIG_INT, "14400", 10, 604800,
	  .help = "After how long a call is ended when it does not say." },
	{ "limits", "max_hold_s", CONFIG_INT, "14400", 1, 604800,
	  .help = "After how long on hold without a break who holds a call is rung back; unheeded, it ends." },

	{ "tls", "certificate", CONFIG_STR, "", 0, 900,
	  .help = "PEM file of the SIP certificate and its chain; none: a self-signed one is made. SIGHUP reads the "
		  "file again." },
	{ "tls", "key", CONFIG_STR, "", 0, 900,
	  .help = "PEM file of its key. SIGHUP reads the file again." },
	{ "tls", "trust", CONFIG_STR, "", 0, 900,
	  .help = "PEM file of authorities to trust beside the system's." },
	{ 0 },
};

static void complain(struct buf *problems, unsigned *found, const char *text)
{
	buf_addf(problems, "%s\n", text);
	(*found)++;
}

/* Nothing said is fine. */
static bool is_address(const char *text)
{
	struct in6_addr any;

	return !*text || inet_pton(AF_INET, text, &any) == 1 ||
	       inet_pton(AF_INET6, text, &any) == 1;
}

static unsigned check_together(const struct config *config, struct buf *problems)
{
	struct config_addr addr;
	unsigned found = 0;
	const char *file;

	if (config_int(config, "rtp", "port_min") + 1 >= config_int(config, "rtp", "port_max"))
		complain(problems, &found,
			 "[rtp] port_max: must leave room for a pair of ports above port_min");
	if (!*config_str(config, "tls", "certificate") != !*config_str(config, "tls", "key"))
		complain(problems, &found, "[tls] key: certificate and key belong together");
	if (*config_str(config, "redis", "url"))
		complain(problems, &found, "[redis] url: this version cannot join a cluster");
	if (config_addr(config, "sip", "tls_listen", &addr) && !addr.port)
		complain(problems, &found, "[sip] tls_listen: port 0 is of no use to a phone");

	if (!is_address(config_str(config, "sip", "public_address")))
		complain(problems, &found, "[sip] public_address: is not an IP address");

	file = config_str(config, "db", "url");
	if (*file && !str_has_prefix(file, "postgresql://") &&
	    !str_has_prefix(file, "postgres://") && !str_has_prefix(file, "sqlite:"))
		complain(problems, &found,
			 "[db] url: begins with neither postgresql:// nor sqlite:");
	file = config_str(config, "tls", "certificate");
	if (*file && access(file, R_OK) != 0)
		complain(problems, &found, "[tls] certificate: the file cannot be read");
	file = config_str(config, "tls", "key");
	if (*file && access(file, R_OK) != 0)
		complain(problems, &found, "[tls] key: the file cannot be read");
	file = config_str(config, "tls", "trust");
	if (*file && access(file, R_OK) != 0)
		complain(problems, &found, "[tls] trust: the file cannot be read");
	return found;
}

static unsigned override(struct config *config, const char *section, const char *key,
			 const char *value, struct buf *problems)
{
	return value ? config_override(config, section, key, value, problems) : 0;
}

unsigned settings_read(const struct settings_flags *flags, struct buf *problems,
		       struct config **ret_config)
{
	auto_(config_free) struct config *config = config_new(settings);
	unsigned found = 0;

	if (flags->config_file)
		found += config_read_file(config, flags->config_file, problems);
	found += config_read_env(config, (const char *const *)environ, problems);
	found += override(config, "daemon", "data", flags->data, problems);
	found += override(config, "http", "listen", flags->http, problems);
	found += override(config, "sip", "listen", flags->sip, problems);
	found += check_together(config, problems);
	if (!found)
		*ret_config = take(config);
	return found;
}

const char *settings_data_dir(const struct config *config)
{
	return config_str(config, "daemon", "data");
}

char *settings_recordings_dir(const struct config *config)
{
	const char *dir = config_str(config, "recordings", "directory");

	return *dir ? xstrdup(dir) : xasprintf("%s/recordings", settings_data_dir(config));
}

void settings_db_url(const struct config *config, struct buf *out)
{
	const char *url = config_str(config, "db", "url");

	if (*url)
		buf_adds(out, url);
	else
		buf_addf(out, "sqlite:%s/jackfield.db", settings_data_dir(config));
}

static bool is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return strcmp(host, "localhost") == 0;
}

bool settings_allow_private(const struct config *config)
{
	struct config_addr addr;

	switch (config_enum(config, "security", "allow_private")) {
	case 0:
		return config_addr(config, "http", "listen", &addr) && is_loopback(addr.host);
	case 1:
		return true;
	default:
		return false;
	}
}

void settings_log(const struct config *config)
{
	log_init(&(struct log_setup){
		.level = (enum log_level)config_enum(config, "log", "level"),
		.json = config_enum(config, "log", "format") == 1,
		.personal = config_bool(config, "log", "personal"),
	});
}
