"""The command line and the operator's routes."""
import json
import subprocess

import requests

from peers import net
from peers.daemon import binary


def run(*words, env=None, **more):
    return subprocess.run([str(binary()), *map(str, words)], capture_output=True, text=True,
                          check=False, env=env, timeout=20, **more)


def test_version_routes_and_machines():
    assert run("version").stdout.startswith("jackfield ")
    routes = [line.split() for line in run("routes").stdout.splitlines()]
    assert ["POST", "/api/make-call/"] in [words[:2] for words in routes]
    operations = [words[2] for words in routes]
    assert len(operations) == len(set(operations)), "an operation's name is its own"
    assert run("fsm").stdout.strip()


def test_nonsense_on_the_command_line():
    for words in ((), ("nonsense",), ("serve", "--nonsense"), ("serve", "--http"),
                  ("create-admin",)):
        done = run(*words)
        assert done.returncode == 2 and "jackfield serve" in done.stderr
        assert all(word in done.stderr for word in words), "it is said what is wrong"
    done = run("--help")
    assert done.returncode == 0 and "jackfield serve" in done.stdout


def test_check_config_names_every_bad_key(tmp_path):
    config = tmp_path / "jackfield.conf"
    config.write_text("[http]\nlisten = nowhere\nworkers = 1000\n[sip]\nno_such = 1\n"
                      "[security]\nsignup = perhaps\n")
    done = run("check-config", "--config", config)
    assert done.returncode == 1
    for word in ("listen", "workers", "no_such", "signup"):
        assert word in done.stderr, done.stderr
    config.write_text("[http]\nworkers = 2\n")
    assert run("check-config", "--config", config).returncode == 0
    assert run("check-config", "--config", tmp_path / "missing.conf").returncode == 1


def test_check_config_of_something_else_is_short(tmp_path):
    config = tmp_path / "jackfield.conf"
    config.write_bytes(bytes(range(256)) * 1000)
    done = run("check-config", "--config", config)
    assert done.returncode == 1 and len(done.stderr.splitlines()) < 60
    config.write_text("[sip]\npublic_address = my router\n")
    done = run("check-config", "--config", config)
    assert done.returncode == 1 and "public_address" in done.stderr
    done = run("check-config", "--config", tmp_path)
    assert done.returncode == 1 and done.stderr == f"{tmp_path}: Is a directory\n"


def test_a_start_that_cannot_be_says_why(tmp_path):
    def fails(*words, env=None):
        address = net.fresh_address()
        done = run("serve", "--data", tmp_path / "data", "--http", f"{address}:8080", "--sip",
                   f"{address}:5060", *words, cwd=tmp_path, env=env)
        assert done.returncode == 1
        return done.stderr

    (tmp_path / "no.db").write_text("this is no database, however long one reads on in it\n" * 9)
    config = tmp_path / "jackfield.conf"
    config.write_text(f"[db]\nurl = sqlite:{tmp_path}/no.db\n")
    assert "file is not a database" in fails("--config", config)
    config.write_text(f"[db]\nurl = sqlite:{tmp_path}/nowhere/x.db\n")
    assert "nowhere/x.db: unable to open" in fails("--config", config)
    key = tmp_path / "data" / "secret.key"
    key.chmod(0o644)
    assert "chmod 600" in fails()
    key.chmod(0o600)
    key.write_text("short")
    assert "secret.key is not a key" in fails()


def test_a_phone_is_told_an_address_that_it_can_use(tmp_path):
    address = net.fresh_address()
    process = subprocess.Popen(
        [str(binary()), "serve", "--data", str(tmp_path / "data"), "--http", f"{address}:8080",
         "--sip", f"0.0.0.0:{net.random.randrange(30000, 39999)}"], stderr=subprocess.DEVNULL)
    try:
        base = f"http://{address}:8080"
        net.until(lambda: ready(base), 20, "ready")
        access = requests.post(f"{base}/api/auth/signup/", timeout=5, json={
            "email": "ada@example.com", "password": "correct horse battery"}).json()["access"]
        for host, shown in ((f"{address}:8080", address), ("pbx.example.net", "pbx.example.net"),
                            ("[::1]:8080", "::1"), ('a"b', "")):
            made = requests.post(f"{base}/api/devices/", timeout=5, json={"name": "desk"}, headers={
                "Host": host, "Authorization": f"Bearer {access}"})
            assert made.status_code == 201 and made.json()["server"] == shown
    finally:
        process.terminate()
        process.wait(20)


def ready(base):
    try:
        return requests.get(f"{base}/readyz", timeout=2).status_code == 200
    except requests.RequestException:
        return False


def test_a_taken_port_is_told(daemon, tmp_path):
    done = run("serve", "--data", tmp_path / "data", "--http", daemon.http, "--sip",
               f"{net.fresh_address()}:5060", cwd=tmp_path)
    assert done.returncode not in (0, -6, -11)
    assert daemon.http in done.stderr or "8080" in done.stderr or "in use" in done.stderr


def test_what_needs_no_token(daemon):
    base = f"http://{daemon.http}"
    assert requests.get(f"{base}/healthz", timeout=5).status_code == 200
    assert requests.get(f"{base}/readyz", timeout=5).status_code == 200
    metrics = requests.get(f"{base}/metrics", timeout=5)
    assert metrics.headers["Content-Type"].startswith("text/plain")
    assert "# TYPE" in metrics.text
    schema = requests.get(f"{base}/api/schema/", timeout=5)
    assert schema.status_code == 200
    assert requests.get(f"{base}/api/docs/", timeout=5).status_code == 200


def test_the_schema_names_every_route(daemon):
    import yaml
    text = requests.get(f"http://{daemon.http}/api/schema/", timeout=5).text
    paths = (json.loads if text.lstrip().startswith("{") else yaml.safe_load)(text)["paths"]
    described = {(method.upper(), path.rstrip("/")) for path, item in paths.items()
                 for method in item}
    for method, path, *_ in daemon.routes():
        assert (method, path.rstrip("/")) in described, (method, path)


def test_the_key_file_is_private(daemon):
    data = daemon.directory / "data"
    keys = [p for p in data.iterdir() if "key" in p.name]
    assert keys, sorted(p.name for p in data.iterdir())
    for key in keys:
        assert key.stat().st_mode & 0o777 == 0o600
