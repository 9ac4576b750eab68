#include "engine/reason.h"
#include "unit.h"

static void every_reason_has_an_answer_and_a_cause(void **state)
{
	(void)state;
	for (int reason = END_COMPLETED; reason <= END_INTERRUPTED; reason++) {
		assert_in_range(reason_code(reason), 200, 699);
		assert_in_range(reason_q850(reason), 1, 127);
	}
}

static const struct {
	int code;
	enum end_reason reason;
} known[] = {
	{ 404, END_NOT_FOUND },	   { 408, END_NO_ANSWER },    { 480, END_UNAVAILABLE },
	{ 484, END_NOT_FOUND },	   { 486, END_BUSY },	      { 487, END_CANCELED },
	{ 488, END_MEDIA_FAILED }, { 503, END_TRUNK_FAILED }, { 600, END_BUSY },
	{ 603, END_DECLINED },	   { 604, END_NOT_FOUND },    { 407, END_AUTH_FAILED },
	{ 499, END_TRUNK_FAILED }, { 599, END_TRUNK_FAILED }, { 699, END_DECLINED },
	{ 300, END_TRUNK_FAILED },
};

static void codes_have_their_stable_reasons(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		assert_int_equal(reason_from_code(known[i].code), known[i].reason);
}

static void what_we_say_comes_back_as_what_we_meant(void **state)
{
	static const enum end_reason said[] = { END_BUSY,	 END_CANCELED,	  END_DECLINED,
						END_NOT_FOUND,	 END_UNAVAILABLE, END_MEDIA_FAILED,
						END_TRUNK_FAILED };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		assert_int_equal(reason_from_code(reason_code(said[i])), said[i]);
		assert_int_equal(reason_from_q850(reason_q850(said[i])),
				 said[i] == END_CANCELED ? END_COMPLETED : said[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_reason_has_an_answer_and_a_cause),
		cmocka_unit_test(codes_have_their_stable_reasons),
		cmocka_unit_test(what_we_say_comes_back_as_what_we_meant),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
