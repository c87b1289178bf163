package natsd_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/commandcenter/commandcenter/pkg/natsd"
)

func TestAnInstanceKnowsCredentialsOfItsOwn(t *testing.T) {
	t.Parallel()
	ours, theirs := t.TempDir(), t.TempDir()
	trust, err := natsd.Provision(ours, users)
	if err != nil {
		t.Fatal(err)
	}
	other, err := natsd.Provision(theirs, users)
	if err != nil {
		t.Fatal(err)
	}
	token, spoilt := filepath.Join(ours, "token"), filepath.Join(ours, "spoilt.creds")
	for path, text := range map[string]string{token: "secret\n", spoilt: "-----BEGIN NATS USER JWT-----\nnonsense\n------END NATS USER JWT------\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		trust.CredsFile(natsd.UserAdmin): true, trust.CredsFile(natsd.UserSys): true, other.CredsFile(natsd.UserAdmin): false, token: false,
	} {
		if own, err := trust.Issued(path); err != nil || own != want {
			t.Errorf("%s: %t, %v", path, own, err)
		}
	}
	for _, path := range []string{spoilt, filepath.Join(ours, "absent")} {
		if own, err := trust.Issued(path); err == nil || own {
			t.Errorf("%s is no credentials: %t", path, own)
		}
	}
}
