/* fuzz/sound.c - files that a user uploads to be played: WAV, FLAC, Ogg, MP3, or anything else */
#include "base/base.h"
#include "fuzz/target.h"
#include "media/sound.h"

#include <sys/mman.h>
#include <unistd.h>

#define MAX_MS 5000

/* libsndfile 1.2 forgets 6 KB of libvorbis' for an Ogg file whose Vorbis headers are broken. Not ours to free. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:vorbis_info_init\nleak:vorbis_synthesis_headerin\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct sound_limits limits = { .max_ms = MAX_MS, .max_bytes = 60000 };
	static const unsigned rates[] = { 8000, 16000 };
	struct sound *sound = NULL;
	int fd = memfd_create("sound", MFD_CLOEXEC), r;

	log_init(&(struct log_setup){ .level = LOG_ERROR_ });
	if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET))
		abort();
	r = sound_load_fd(fd, &limits, &sound);
	if (r < 0 || r > SOUND_E_EMPTY || !r != !!sound || (!r && size > limits.max_bytes))
		abort();
	for (unsigned i = 0; sound && i < ARRAY_LEN(rates); i++) {
		size_t samples = 0;
		const int16_t *pcm = sound_pcm(sound, rates[i], &samples);

		if (!pcm || !samples || samples > MAX_MS * (size_t)rates[i] / 1000 + 1)
			abort();
		if (pcm[0] == 1 && pcm[samples - 1] == 2)
			samples = 0; /* both ends can be read */
	}
	sound_unref(sound);
	close(fd);
	return 0;
}
