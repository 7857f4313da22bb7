#!/usr/bin/env python3
"""Makes a certificate authority and certificates for end-to-end tests, with the `openssl` command alone.

    tests/support/test_ca.py DIRECTORY [--host NAME]...

leaves in DIRECTORY (made if missing, files replaced) for every NAME, which may be a DNS name or an IP address
(default: localhost, 127.0.0.1 and ::1):

    ca.pem, ca.key                   the authority; give ca.pem as ca_file, SSL_CERT_FILE or curl --cacert
    valid.pem, valid.key             what a client that trusts ca.pem accepts
    wrong_host.pem, wrong_host.key   by the same authority, but for wrong-host.test only
    expired.pem, expired.key         by the same authority, expired a day ago
    self_signed.pem, self_signed.key by nobody

and prints the path of each, as name=path. From Python: make(directory, hosts) returns the same as a dict.
"""
import argparse
import ipaddress
import pathlib
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone

DEFAULT_HOSTS = ("localhost", "127.0.0.1", "::1")

# `openssl ca` is the one subcommand of every version that takes both dates, hence its configuration.
CA_CONFIG = """
[ca]
default_ca = authority
[authority]
database = {work}/index.txt
new_certs_dir = {work}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = anything
copy_extensions = none
[anything]
commonName = supplied
"""


def run(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} failed:\n{done.stderr}")


def alternative_names(hosts):
    def entry(host):
        try:
            return f"IP:{ipaddress.ip_address(host)}"
        except ValueError:
            return f"DNS:{host}"

    return ",".join(map(entry, hosts))


def new_key(path):
    run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    path.chmod(0o600)


def self_sign(directory, name, subject, extensions):
    new_key(directory / f"{name}.key")
    added = [part for extension in extensions for part in ("-addext", extension)]
    run("req", "-x509", "-new", "-key", directory / f"{name}.key", "-subj", f"/CN={subject}", "-days", 2, "-sha256",
        *added, "-out", directory / f"{name}.pem")


def issue(directory, work, name, hosts, starts, ends):
    new_key(directory / f"{name}.key")
    run("req", "-new", "-key", directory / f"{name}.key", "-subj", f"/CN={name}", "-out", work / "request.pem")
    (work / "extensions").write_text(
        f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName={alternative_names(hosts)}\n")
    run("ca", "-batch", "-notext", "-config", work / "ca.cnf", "-cert", directory / "ca.pem", "-keyfile",
        directory / "ca.key", "-in", work / "request.pem", "-extfile", work / "extensions", "-startdate",
        starts.strftime("%Y%m%d%H%M%SZ"), "-enddate", ends.strftime("%Y%m%d%H%M%SZ"), "-out",
        directory / f"{name}.pem")


def make(directory, hosts=DEFAULT_HOSTS):
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    day, now = timedelta(days=1), datetime.now(timezone.utc)
    self_sign(directory, "ca", "weir test authority",
              ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"])
    self_sign(directory, "self_signed", "self-signed", [f"subjectAltName={alternative_names(hosts)}"])
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        (work / "index.txt").touch()
        (work / "ca.cnf").write_text(CA_CONFIG.format(work=work))
        issue(directory, work, "valid", hosts, now - day, now + day)
        issue(directory, work, "wrong_host", ["wrong-host.test"], now - day, now + day)
        issue(directory, work, "expired", hosts, now - 3 * day, now - day)
    return {path.name: path for path in sorted(directory.iterdir()) if path.suffix in (".pem", ".key")}


def issue_chain(directory, issued):
    """Issues [(name, issuer or None: signs itself, extensions or None: X.509 v1)] in this order, for localhost."""
    directory = pathlib.Path(directory)
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        for name, issuer, extensions in issued:
            new_key(directory / f"{name}.key")
            run("req", "-new", "-key", directory / f"{name}.key", "-subj", f"/CN={name}", "-out", work / "request.pem")
            signer = ["-CA", directory / f"{issuer}.pem", "-CAkey", directory / f"{issuer}.key"] if issuer else \
                ["-signkey", directory / f"{name}.key"]
            if extensions is not None:
                (work / "extensions").write_text("\n".join(["subjectAltName=DNS:localhost", *extensions]) + "\n")
                signer += ["-extfile", work / "extensions"]
            run("x509", "-req", "-in", work / "request.pem", "-days", 2, "-set_serial", hash(name) & 0xFFFFFFFF, *signer,
                "-out", directory / f"{name}.pem")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory")
    parser.add_argument("--host", action="append", default=[], help="a DNS name or an IP address; may be repeated")
    options = parser.parse_args()
    try:
        made = make(options.directory, options.host or DEFAULT_HOSTS)
    except (OSError, RuntimeError) as error:
        print(f"test_ca.py: {error}", file=sys.stderr)
        return 1
    for name, path in made.items():
        print(f"{name}={path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
