"""README.md and docs/API.md: every command in them works, in its order, and its table of errors is complete."""
import os
import re
import subprocess
import sys

from peers import ear, net
from peers.daemon import ROOT
from peers.ear import Ear

GUIDE = (ROOT / "docs" / "API.md").read_text()
TOUR = (ROOT / "README.md").read_text()


def blocks(kind, text=GUIDE):
    return re.findall(rf"```{kind}\n(.*?)```", text, re.S)


class Shell:
    """One bash for all blocks; a command that fails ends it, which fails the test."""

    def __init__(self, directory):
        self._bash = subprocess.Popen(["bash", "-e"], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                      cwd=directory)

    def run(self, block):
        mark = net.token("done")
        self._bash.stdin.write(f"{block}\necho; echo {mark}\n")
        self._bash.stdin.flush()
        lines = []
        for line in self._bash.stdout:
            if line.strip() == mark:
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"failed: {block}\n{''.join(lines)}")

    def close(self):
        self._bash.stdin.close()
        self._bash.wait(10)


def test_every_example_works(daemon, provider, far_ends, tmp_path):
    far_end = far_ends()
    user = provider.add_user(net.token("line"), "secret")
    ear.write_wav(tmp_path / "greeting.wav", ear.tone(850, 1.0))
    yours = {"http://127.0.0.1:8080": f"http://{daemon.http}", "sip.example.net": provider.address,
             "4930123\"": f"{user}\"", "+493012345678": far_end.number,
             "ada@example.com": f"{net.token('ada')}@example.com"}
    shell = Shell(tmp_path)
    said = []
    listener = None
    for block in blocks("sh"):
        for old, new in yours.items():
            block = block.replace(old, new)
        if "answer-call" in block:
            caller = far_end.invite(provider.uri(user), ear=Ear(far_end.address, tone=620))
            caller.expect(180)
        said.append(shell.run(block))
        if "make-call" in block:
            far_end.expect_invite(ear=Ear(far_end.address, tone=None)).answer()
        if "answer-call" in block:
            caller.expect(200)
            caller.ear.wait_tone(850)
            caller.wait_ended()
        if "register-sip" in block and listener is None:
            token = shell.run("echo ${auth#Authorization: Bearer }").strip()
            listener = subprocess.Popen(
                [sys.executable, "-c", blocks("python")[0]], stdout=subprocess.PIPE, text=True,
                env={**os.environ, "API": f"http://{daemon.http}", "TOKEN": token})
            # Not before it listens: what it prints first is a change that we make.
            net.until(lambda: daemon.metrics().get("jackfield_ws_clients", 0) > 0, 10, "listener")
    text = "\n".join(said)
    shell.close()
    listener.terminate()
    heard = listener.communicate(timeout=10)[0]
    assert "registered" in text and "profile_exists" not in text
    assert '"code":"not_found"' in text and '"code":"not_authenticated"' in text
    assert "call.ended" in heard and "call.answered" in heard and "cut:" not in heard, heard
    assert (tmp_path / "part.wav").read_bytes()[:4] == b"RIFF"


def test_the_table_of_errors_is_complete():
    table = set(re.findall(r"^\| \d{3} \| `(\w+)` \|", GUIDE, re.M))
    used = set()
    for path in [*(ROOT / "src/api").glob("*.c"), *(ROOT / "src/http").glob("*.c")]:
        source = path.read_text()
        # 400s have their own form, without a code
        used |= set(re.findall(
            r"(?:api_error(?:_detail)?|reply_error|req_error|web_answer_error)\(\s*\w+(?:->web)?,"
            r"\s*(?!400)\d{3},\s*\"(\w+)\"", source))
        used |= set(re.findall(
            r"(?:api_too_many|api_unauthorized|api_unavailable)\(\s*\w+,\s*\"(\w+)\"", source))
        used |= set(re.findall(r'"code", "(\w+)"', source))
    assert used - table == set(), "say what it means"
    assert table - used - {"wrong_state"} == set(), "nobody says this any more"


def test_the_five_minutes_of_the_readme(daemon, provider, far_ends, tmp_path):
    far_end = far_ends()
    user = provider.add_user(net.token("line"), "secret")
    number = "".join(re.search(r'"to": "(\+49 [\d ]+)"', TOUR).group(1).split())
    provider.add_number(number, far_end.address)
    yours = {"http://127.0.0.1:8080": f"http://{daemon.http}", "sip.example.net": provider.address,
             "4930123\"": f"{user}\"", "you@example.com": f"{net.token('you')}@example.com",
             "wsdump ": "timeout 5 wsdump --eof-wait 2 </dev/null "}
    shell = Shell(tmp_path)
    said = []
    for block in blocks("sh", TOUR):
        for old, new in yours.items():
            block = block.replace(old, new)
        said.append(shell.run(block.rstrip() + (" || true" if "wsdump" in block else "")))
        if '"say"' in block or '"echo"' in block:
            heard = Ear(far_end.address, tone=None)
            far_end.expect_invite(ear=heard).answer()
    shell.close()
    said = "\n".join(said)
    assert '"state":"registered"' in said
    assert '"state":"recording"' in said and '"room":"sales"' in said
    assert '"code":"no_device"' in said, "no phone has signed in yet"
    assert '"type":"snapshot"' in said
    assert re.findall(r'"code":"(?!no_device)', said) == []
