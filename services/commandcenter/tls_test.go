package main_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate makes a certificate that signs itself and names no host that a
// client would look at, with its key in the same file.
func certificate(t *testing.T) (file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "cc.example.org"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	secret, keyErr := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err, keyErr); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "cert.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestClientsOfThisMachineTrustTheCertificateOfTheirInstance(t *testing.T) {
	t.Parallel()
	cert := certificate(t)
	p := here(t, dataDir(t), "--cert-file", cert, "--key-file", cert)
	if !strings.HasPrefix(p.url, "https://127.0.0.1:") {
		t.Fatalf("ready at %s", p.url)
	}
	p.await("sample")
	local := func(args ...string) (int, string, string) { return run(t, append(args, "--data-dir", p.dir)...) }
	code, out, errs := local("search", "event", "--json")
	var found []result
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || len(found) == 0 {
		t.Errorf("search: %d %s%s", code, out, errs)
	}
	if code, out, errs := local("doctor"); code != 0 || !strings.Contains(out, p.url) {
		t.Errorf("doctor: %d %s%s", code, out, errs)
	}
	if code, out, errs := local("federation", "status"); code != 0 || !strings.Contains(out, "https://127.0.0.1:") {
		t.Errorf("federation status: %d %s%s", code, out, errs)
	}
	kept, err := os.ReadFile(filepath.Join(p.dir, "keys", "http.cert"))
	if err != nil || strings.Contains(string(kept), "PRIVATE") {
		t.Errorf("what is kept for clients has the key in it, or is not there: %v", err)
	}
	// Who does not read the data directory has to be told whom to trust.
	far := func(args ...string) (int, string, string) {
		return run(t, append(args, "--server", p.url, "--data-dir", t.TempDir())...)
	}
	if code, _, errs := runIn(t.Context(), strings.NewReader("hush\n"), "login", "--email", "me@example.org", "--password-stdin", "--server", p.url, "--data-dir", t.TempDir()); code != 5 || !strings.Contains(errs, "is not trusted") {
		t.Errorf("login from afar: %d %s", code, errs)
	}
	if code, out, _ := far("doctor"); code != 7 || !strings.Contains(out, "is not trusted") {
		t.Errorf("doctor from afar: %d %s", code, out)
	}
	if code, _, errs := far("project", "list", "--ca", "/does/not/exist"); code != 2 || !strings.Contains(errs, "--ca") {
		t.Errorf("a file that is not there: %d %s", code, errs)
	}
}
