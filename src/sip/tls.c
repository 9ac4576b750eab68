/* sip/tls.c - certificates and contexts, by OpenSSL itself
 *
 * A peer that we connect to must prove the name that was asked for (RFC 5922), against the system's
 * authorities and the operator's; one that connects to us proves itself by digest.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "sip/net_private.h"

#define SELF_SIGNED_DAYS 3650

static int ssl_error(const char *what, const char *file)
{
	char text[160];

	ERR_error_string_n(ERR_get_error(), text, sizeof(text));
	ERR_clear_error();
	return err_newf(EINVAL, "%s %s: %s", what, file ? file : "", text);
}

/* ---- a certificate of our own ---- */

static bool extension_add(X509 *cert, int nid, const char *value)
{
	X509V3_CTX context;
	X509_EXTENSION *extension;
	bool fine;

	X509V3_set_ctx_nodb(&context);
	X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	fine = extension && X509_add_ext(cert, extension, -1);
	X509_EXTENSION_free(extension);
	return fine;
}

static X509 *certificate_make(EVP_PKEY *key)
{
	char host[256] = "localhost", alt[300];
	X509 *cert = X509_new();
	X509_NAME *name;

	if (!cert)
		return NULL;
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(alt, sizeof(alt), "DNS:%s", host);
	name = X509_get_subject_name(cert);
	if (X509_set_version(cert, 2) &&
	    ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), rand_u64() >> 1) &&
	    X509_gmtime_adj(X509_getm_notBefore(cert), -3600) &&
	    X509_gmtime_adj(X509_getm_notAfter(cert), 86400L * SELF_SIGNED_DAYS) &&
	    X509_set_pubkey(cert, key) &&
	    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)host, -1,
				       -1, 0) &&
	    X509_set_issuer_name(cert, name) && extension_add(cert, NID_subject_alt_name, alt) &&
	    extension_add(cert, NID_basic_constraints, "critical,CA:FALSE") &&
	    X509_sign(cert, key, EVP_sha256()))
		return cert;
	X509_free(cert);
	return NULL;
}

/* Written beside and moved into place: a crash leaves no half a key. */
static int pair_write(const char *path, EVP_PKEY *key, X509 *cert)
{
	auto_(free) char *temp = xasprintf("%s.new", path);
	FILE *file;
	bool fine;
	int fd;

	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	file = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (!file)
		return err_newf(errno, "create %s", temp);
	fine = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) &&
	       PEM_write_X509(file, cert) && fflush(file) == 0 && fsync(fd) == 0;
	fine = fclose(file) == 0 && fine;
	if (fine && rename(temp, path) == 0)
		return 0;
	(void)unlink(temp);
	return err_newf(errno ? errno : EIO, "write %s", path);
}

static int self_signed_make(const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = key ? certificate_make(key) : NULL;
	int r = cert ? pair_write(path, key, cert) : ssl_error("make a certificate", NULL);

	X509_free(cert);
	EVP_PKEY_free(key);
	return r;
}

/* ---- contexts ---- */

static SSL_CTX *context_new(const SSL_METHOD *method)
{
	SSL_CTX *context = SSL_CTX_new(method);

	bug_on(!context);
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE |
					  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	return context;
}

static int server_make(const struct net *net, SSL_CTX *context)
{
	auto_(free) char *own = NULL;
	const char *cert = net->cert_file, *key = net->key_file ? net->key_file : net->cert_file;
	int r;

	if (!cert) {
		own = xasprintf("%s/sip.pem", net->data_dir ? net->data_dir : ".");
		if (access(own, R_OK) && (r = self_signed_make(own)))
			return err_pass(r);
		cert = key = own;
	}
	if (SSL_CTX_use_certificate_chain_file(context, cert) != 1)
		return ssl_error("read certificate", cert);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return ssl_error("read key", key);
	if (SSL_CTX_check_private_key(context) != 1)
		return ssl_error("match key and certificate", cert);
	return 0;
}

static bool wants_server(const struct net *net)
{
	return net->cert_file || net->data_dir;
}

int tls_contexts_make(struct net *net, SSL_CTX **ret_client, SSL_CTX **ret_server)
{
	SSL_CTX *client = context_new(TLS_client_method()),
		*server = context_new(TLS_server_method());
	int r = 0;

	if (SSL_CTX_set_default_verify_paths(client) != 1)
		log_warn("no system certificates: TLS peers cannot be verified");
	if (net->ca_file && SSL_CTX_load_verify_locations(client, net->ca_file, NULL) != 1)
		r = ssl_error("read authorities", net->ca_file);
	if (r == 0 && wants_server(net))
		r = server_make(net, server);
	ERR_clear_error();
	if (r) {
		SSL_CTX_free(client);
		SSL_CTX_free(server);
		return err_pass(r);
	}
	*ret_client = client;
	*ret_server = server;
	return 0;
}

/* ---- connections ---- */

SSL *tls_accept_new(struct net *net, int fd)
{
	SSL *ssl = SSL_new(net->tls_server);

	if (!ssl || SSL_set_fd(ssl, fd) != 1) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	return ssl;
}

static bool verify_setup(SSL *ssl, const char *host)
{
	uint8_t address[16];
	bool numeric =
		inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;

	SSL_set_verify(ssl, SSL_VERIFY_PEER, NULL);
	if (numeric)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

SSL *tls_connect_new(struct net *net, int fd, const char *host)
{
	SSL *ssl = SSL_new(net->tls_client);

	if (!ssl || SSL_set_fd(ssl, fd) != 1 || (host && !verify_setup(ssl, host))) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_connect_state(ssl);
	return ssl;
}

void tls_explain(const SSL *ssl, char *buf, size_t size)
{
	long verdict = SSL_get_verify_result(ssl);
	unsigned long code = ERR_peek_last_error();
	const char *reason = code ? ERR_reason_error_string(code) : NULL;

	if (verdict != X509_V_OK)
		snprintf(buf, size, "certificate: %s", X509_verify_cert_error_string(verdict));
	else
		snprintf(buf, size, "TLS: %s",
			 reason ? reason : "connection closed during the handshake");
	ERR_clear_error();
}
