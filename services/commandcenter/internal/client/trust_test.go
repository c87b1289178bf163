package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// selfSigned is a certificate as people make them, and its PEM.
func selfSigned(t *testing.T, template x509.Certificate) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(1), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestAServerIsBelievedByItsCertificateAlone(t *testing.T) {
	t.Parallel()
	// As of openssl req -x509 -subj /CN=cc.example.org: no name that a client looks at.
	bare, bareText := selfSigned(t, x509.Certificate{Subject: pkix.Name{CommonName: "cc.example.org"}})
	_, otherText := selfSigned(t, x509.Certificate{Subject: pkix.Name{CommonName: "cc.example.org"}})
	local, localText := selfSigned(t, x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	elsewhere, elsewhereText := selfSigned(t, x509.Certificate{IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}})
	for name, c := range map[string]struct {
		shows   tls.Certificate
		ca, own []byte
		fine    bool
		mend    string
	}{
		"nobody vouches for it":               {shows: local, mend: "--ca"},
		"a file vouches for it":               {shows: local, ca: localText, fine: true},
		"a file vouches for another name":     {shows: elsewhere, ca: elsewhereText, mend: "subjectAltName"},
		"it is our own":                       {shows: local, own: localText, fine: true},
		"it is our own, by another name":      {shows: bare, own: bareText, fine: true},
		"another of the same name":            {shows: bare, own: otherText, mend: "subjectAltName"},
		"another, for another address":        {shows: elsewhere, own: bareText, mend: "subjectAltName"},
		"ours was renewed, a file vouches":    {shows: local, ca: localText, own: bareText, fine: true},
		"ours was renewed, for another place": {shows: elsewhere, ca: elsewhereText, own: bareText, mend: "subjectAltName"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, `{"status":"ok"}`) }))
			srv.TLS = &tls.Config{Certificates: []tls.Certificate{c.shows}, MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				calls.Add(1)
				return nil, nil
			}}
			srv.Config.ErrorLog = nil
			srv.StartTLS()
			t.Cleanup(srv.Close)
			trust, err := Trust(srv.URL, c.ca, c.own)
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(Config{Server: srv.URL, Store: NewStore(t.TempDir() + "/c.json"), TLS: trust})
			if err != nil {
				t.Fatal(err)
			}
			resp, err := s.Open().MainHealthCheck(t.Context())
			if c.fine {
				if err != nil || resp.Body.Close() != nil {
					t.Errorf("not believed: %v", err)
				}
				return
			}
			var gone *UnreachableError
			if !errors.As(err, &gone) || !strings.Contains(err.Error(), c.mend) || calls.Load() != 1 {
				t.Errorf("%d calls, %v", calls.Load(), err)
			}
		})
	}
	for name, text := range map[string][]byte{"no PEM": []byte("x"), "a key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})} {
		if _, err := Trust("https://x", text, nil); err == nil {
			t.Errorf("%s vouches", name)
		}
		if _, err := Trust("https://x", nil, text); err == nil {
			t.Errorf("%s is our own", name)
		}
	}
}

func TestWhoSpeaksHTTPToAServerWithTLSIsToldSo(t *testing.T) {
	t.Parallel()
	srv := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	s, err := New(Config{Server: "http://" + srv.Listener.Addr().String(), Store: NewStore(t.TempDir() + "/c.json")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Into[Health](s.Open().MainHealthCheck(t.Context())); err == nil || !strings.Contains(err.Error(), "https://") {
		t.Errorf("told %v", err)
	}
}
