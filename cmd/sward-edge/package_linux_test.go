package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

func TestDebianPackageInstallsAndPurgesWithoutATrace(t *testing.T) { // H16
	if _, err := exec.LookPath("dpkg-deb"); err != nil {
		t.Skip("skipped: no dpkg-deb")
	}
	root := newScratchRoot(t)
	build := exec.CommandContext(t.Context(), "../../packaging/deb.sh", os.Args[0], "1.2.3", "all", filepath.Join(root, "download", "agent.deb"))
	build.Env = append(os.Environ(), "COMPRESSION=none", "SOURCE_DATE_EPOCH=1700000000")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/backups", "var/log"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// /usr is the host's: what dpkg puts there goes to a layer that ends with the shell.
	out := must(t, root, `
mount -t tmpfs none /tmp
mkdir /tmp/up /tmp/work
mount -t overlay overlay -o lowerdir=/usr,upperdir=/tmp/up,workdir=/tmp/work /usr || { echo "no overlay"; exit 0; }
dpkg --force-depends -i /download/agent.deb
echo "== installed"
grep sward-edge /etc/passwd
stat -c '%U %a %n' /var/lib/sward-edge /usr/bin/sward-edge
ls -l /etc/systemd/system/multi-user.target.wants
sward-edge install '`+invited+`' | tail -3
stat -c '%U %a %n' /var/lib/sward-edge/key
test ! -e /usr/local/bin/sward-edge
sward-edge uninstall
test -e /usr/bin/sward-edge
echo "== agreed, and the hub is away"
echo '{}' > /var/lib/sward-edge/consent.json
dpkg --force-depends -r sward-edge
dpkg -P sward-edge
test -e /var/lib/sward-edge/key
echo "== with a statement"
dpkg --force-depends -i /download/agent.deb
echo '{}' > /var/backups/sward-edge-statement-2026-01-01.json
dpkg --force-depends -r sward-edge
dpkg -P sward-edge
rm /var/backups/*
ls -R /usr/bin /usr/share/doc /usr/lib/systemd/system | grep sward && exit 1
rm -rf /var/lib/dpkg /var/log /var/lib/systemd
`)
	if regexp.MustCompile(`(?m)^no overlay$`).MatchString(out) {
		t.Skip("skipped: no overlay file system here")
	}
	for _, want := range []string{
		`(?m)^sward-edge:x:\d+:\d+::/var/lib/sward-edge:/usr/sbin/nologin$`,
		`(?m)^sward-edge 700 /var/lib/sward-edge\nroot 755 /usr/bin/sward-edge$`,
		`sward-edge shares nothing yet`,
		`It shares nothing until you agree`,
		`(?m)^sward-edge 600 /var/lib/sward-edge/key$`,
		`A package brought it`,
		`a purge will keep /var/lib/sward-edge`,
		`/var/lib/sward-edge stays`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %q", want)
		}
	}
	if left := traces(t, root); len(left) > 0 {
		t.Errorf("the purge left %v", left)
	}
	if t.Failed() {
		t.Log(out)
	}
}
