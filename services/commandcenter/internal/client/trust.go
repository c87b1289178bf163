package client

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
)

// Trust says whose certificate a server may show: one that those in ca (PEM)
// vouch for, or without them those of the system. own (PEM, its first
// certificate) is trusted as it is, by whatever name the server is called and
// whoever signed it: it is the one that our own instance shows.
func Trust(server string, ca, own []byte) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(ca) {
			return nil, errors.New("no certificate in it")
		}
	}
	if len(own) == 0 {
		return c, nil
	}
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(own)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in it")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	c.InsecureSkipVerify = true // G402: what follows is no less strict
	c.VerifyConnection = func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the server shows no certificate")
		}
		shown := s.PeerCertificates[0]
		if shown.Equal(leaf) {
			return nil
		}
		o := x509.VerifyOptions{Roots: c.RootCAs, DNSName: u.Hostname(), Intermediates: x509.NewCertPool()}
		for _, i := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(i)
		}
		if _, err := shown.Verify(o); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		return nil
	}
	return c, nil
}
