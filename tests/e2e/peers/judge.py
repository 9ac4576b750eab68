"""Which digits sound in a WAV file, by spandsp's detector (ITU-T Q.24), in a process of its own.

    python3 judge.py FILE
"""
import ctypes
import pathlib
import subprocess
import sys

BLOCK = 800


def inband_digits(path):
    """The digits in that file, as another process hears them."""
    run = subprocess.run([sys.executable, __file__, str(path)], capture_output=True, text=True,
                         check=True, timeout=60)
    return run.stdout.strip()


def _main(path):
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
    from peers import ear

    spandsp = ctypes.CDLL("libspandsp.so.2")
    spandsp.dtmf_rx_init.restype = ctypes.c_void_p
    spandsp.dtmf_rx_init.argtypes = [ctypes.c_void_p] * 3
    spandsp.dtmf_rx.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int]
    spandsp.dtmf_rx_get.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    spandsp.dtmf_rx_get.restype = ctypes.c_size_t
    samples, rate = ear.read_wav(pathlib.Path(path))
    assert rate == ear.RATE, rate
    pcm = (samples * 32767).astype("<i2")
    detector = spandsp.dtmf_rx_init(None, None, None)
    found = []
    for at in range(0, len(pcm), BLOCK):
        block = pcm[at:at + BLOCK].tobytes()
        spandsp.dtmf_rx(detector, block, len(block) // 2)
        text = ctypes.create_string_buffer(256)
        count = spandsp.dtmf_rx_get(detector, text, 128)
        found.append(text.raw[:count].decode())
    print("".join(found))


if __name__ == "__main__":
    _main(sys.argv[1])
