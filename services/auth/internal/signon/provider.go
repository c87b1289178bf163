package signon

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Settings are those of the provider.
type Settings struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	Scopes       []string
	Callback     string // address at which the provider sends people back
}

// Identity is whom the provider says that somebody is.
type Identity struct {
	Issuer, Subject string
	Email           string
	Verified        bool // the provider vouches for the address
	Name            string
}

// Provider is an OpenID Connect provider. What it says of itself is asked for
// when it is first needed, so that the instance starts without it.
type Provider struct {
	Settings Settings
	HTTP     *http.Client

	mu    sync.Mutex
	known *known
}

type known struct {
	op       *oidc.Provider
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
}

// within bounds one conversation with the provider.
const within = 10 * time.Second

func (p *Provider) discover(ctx context.Context) (*known, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known != nil {
		return p.known, nil
	}
	// The provider keeps this context to ask for new keys; it ends with no call.
	op, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), p.HTTP), p.Settings.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the identity provider what it is: %w", err)
	}
	p.known = &known{
		op: op,
		config: oauth2.Config{
			ClientID: p.Settings.ClientID, ClientSecret: p.Settings.ClientSecret, Endpoint: op.Endpoint(),
			RedirectURL: p.Settings.Callback, Scopes: p.Settings.Scopes,
		},
		verifier: op.Verifier(&oidc.Config{ClientID: p.Settings.ClientID}),
	}
	return p.known, nil
}

// Address is where somebody logs in.
func (p *Provider) Address(ctx context.Context, state, nonce, verifier string) (string, error) {
	k, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	return k.config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), nil
}

// Redeem trades a code for an identity.
func (p *Provider) Redeem(ctx context.Context, code, nonce, verifier string) (Identity, error) {
	k, err := p.discover(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, p.HTTP), within)
	defer cancel()
	token, err := k.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		return Identity{}, fmt.Errorf("trade the code: %w", err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return Identity{}, errRefused.Because(errors.New("the provider gave no ID token"))
	}
	id, err := k.verifier.Verify(ctx, raw)
	if err != nil {
		return Identity{}, errRefused.Because(err)
	}
	if nonce == "" || id.Nonce != nonce {
		return Identity{}, errRefused.Because(errors.New("the ID token is of another login"))
	}
	var said claims
	if err := id.Claims(&said); err != nil {
		return Identity{}, errRefused.Because(err)
	}
	if said.Email == "" { // many tell it there alone (OpenID Connect Core, 5.4)
		info, err := k.op.UserInfo(ctx, oauth2.StaticTokenSource(token))
		switch {
		case err != nil:
			return Identity{}, fmt.Errorf("ask for the address: %w", err)
		case info.Subject != id.Subject:
			return Identity{}, errRefused.Because(errors.New("the user info is about somebody else"))
		}
		if err := info.Claims(&said); err != nil {
			return Identity{}, errRefused.Because(err)
		}
	}
	return Identity{Issuer: id.Issuer, Subject: id.Subject, Email: said.Email, Verified: bool(said.Verified), Name: said.Name}, nil
}

// claims are what we want to know of somebody.
type claims struct {
	Email    string `json:"email"`
	Verified truth  `json:"email_verified"`
	Name     string `json:"name"`
}

// truth is true, also as the text that some providers write.
type truth bool

// UnmarshalJSON takes what is neither for false.
func (t *truth) UnmarshalJSON(b []byte) error {
	*t = truth(string(b) == "true" || string(b) == `"true"`)
	return nil
}
