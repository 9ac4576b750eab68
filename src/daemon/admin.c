/* daemon/admin.c - the first account of an installation that is closed to sign-ups, or one more tenant's admin */
#include "daemon/private.h"

#include "api/api.h"
#include "store/store.h"

#include <stdio.h>
#include <unistd.h>

#define PASSWORD_SIZE 1030

/* One line; the end of the line is not part of it. */
static bool read_password(char password[static PASSWORD_SIZE])
{
	size_t len;

	if (isatty(STDIN_FILENO))
		fputs("Password: ", stderr);
	if (!fgets(password, PASSWORD_SIZE, stdin))
		return false;
	len = strlen(password);
	while (len && (password[len - 1] == '\n' || password[len - 1] == '\r'))
		password[--len] = '\0';
	return true;
}

static int sign_up(struct db *db, const char *email, const char *password)
{
	auto_(arena_free) struct arena *arena = arena_new();
	auto_(free) char *hash = api_password_hash(password);
	struct tenant tenant = { .name = email };
	struct user user = USER_DEFAULTS;

	user.email = email;
	user.name = email;
	user.role = USER_ADMIN;
	user.password_hash = hash;
	return user_sign_up(db, &tenant, &user, arena);
}

int create_admin(const struct config *config, const char *email)
{
	auto_(db_close) struct db *db = NULL;
	char password[PASSWORD_SIZE];
	const char *complaint;
	int lock_fd, r;

	complaint = api_email_complaint(email);
	if (complaint) {
		fprintf(stderr, "%s\n", complaint);
		return 1;
	}
	if (!read_password(password)) {
		fputs("no password on standard input\n", stderr);
		return 1;
	}
	complaint = api_password_complaint(password);
	if (complaint) {
		seal_forget(password, sizeof(password));
		fprintf(stderr, "%s\n", complaint);
		return 1;
	}
	/* The directory may be held by the daemon that runs; then it is there already. */
	if (access(settings_data_dir(config), F_OK) != 0) {
		if (place_take(settings_data_dir(config), &lock_fd))
			return 1;
		close(lock_fd);
	}
	r = place_open_db(config, &db);
	if (!r)
		r = sign_up(db, email, password);
	seal_forget(password, sizeof(password));
	if (r == USER_E_EMAIL)
		fprintf(stderr, "there is an account with the address %s already\n", email);
	else if (r == DB_E_AWAY)
		fprintf(stderr, "the database cannot be reached: %s\n", db_reason(db));
	else if (r)
		fputs("the account could not be made\n", stderr);
	else
		printf("%s is the admin of a new organization of the same name\n", email);
	return r ? 1 : 0;
}
