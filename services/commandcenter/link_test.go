package main_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// public starts the product where it knows its own address.
func public(t *testing.T) *product {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "commandcenter.yaml")
	if err := os.WriteFile(file, []byte("auth:\n  public_url: http://"+at+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return here(t, dataDir(t), "--no-sample", "--http", at, "--config", file, "--log-level", "debug")
}

// focused waits until what the selector names has the focus, as somebody who uses
// the keyboard alone finds it.
func focused(selector string) chromedp.Action[chromedp.Void] {
	return chromedp.WaitReady(selector + ":focus")
}

// typed are keys for whatever has the focus.
func typed(keys string) chromedp.Action[chromedp.Void] { return chromedp.KeyEvent(keys) }

// TestTheLinksOfInvitationsAndResetsOpenAPageOfTheProduct follows the links that the
// product gives, by the keyboard alone, in a browser that holds the pages to their
// policy; and looks that no secret of them came anywhere but into bodies of calls.
func TestTheLinksOfInvitationsAndResetsOpenAPageOfTheProduct(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	p := public(t)
	owner := p.owner()
	const first, second = "a first phrase of mine 1", "quite another phrase 2"
	var secrets []string
	link := func(path string, body map[string]any) string {
		t.Helper()
		var made struct{ Link, Token string }
		owner.json("POST", path, body, 201, &made)
		if !strings.HasPrefix(made.Link, p.url+"/ui#") || made.Token == "" || !strings.HasSuffix(made.Link, made.Token) {
			t.Fatalf("the link is %q", made.Link)
		}
		secrets = append(secrets, made.Token)
		return made.Link
	}
	var last int64
	project := func(name string) string {
		t.Helper()
		var made struct{ ID int64 }
		owner.json("POST", "/api/v1/projects/", map[string]any{"name": name}, 201, &made)
		last = made.ID
		return fmt.Sprintf("/api/v1/projects/%d/invitations", made.ID)
	}
	gemini, apollo := project("Gemini"), project("Apollo")
	heard, deaf := p.overhear(t, owner, last)
	// A page that is open already goes to what the next link is for, as a new one does.
	open := func(at string) chromedp.Action[chromedp.Void] { return chromedp.Navigate(at) }
	forgotten := chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		at, err := chromedp.Location()(ctx, target)
		if err == nil && (strings.Contains(at, "cci_") || strings.Contains(at, "ccp_")) {
			err = fmt.Errorf("the secret is still in the address")
		}
		return err
	})

	// Somebody without an account.
	invited := link(apollo, map[string]any{"role": "member", "email": "new@example.org"})
	b.do("an invitation", open(invited), sees("h1", "Join Apollo"), sees("#invitation p", "owner@commandcenter.local invites you to the project Apollo as member"))
	b.shot("invitation.png")
	b.do("a password that everybody has", focused("#newcomer [name=full_name]"), typed("Jo"+kb.Tab+"password1"+kb.Enter), sees("#newcomer .problem", "most common"))
	b.do("an account", focused("#newcomer [name=password]"), typed(first+kb.Enter),
		chromedp.WaitVisible("#bar"), sees("#project option:checked", "Apollo"), forgotten)
	b.do("a link that was used", chromedp.Click("#logout"), chromedp.WaitVisible("#login"), open(invited), sees("h1", "does not work"), sees(".problem", "it was used or taken back"))
	b.do("from there to the login", chromedp.Click("#to-login"), chromedp.WaitVisible("#login"), focused("[name=email]"), forgotten)

	// The same person, in another project.
	b.do("an invitation for who has an account", open(link(gemini, map[string]any{"role": "viewer"})), sees("h1", "Join Gemini"), focused("#newcomer [name=email]"))
	b.do("a wrong password", chromedp.SendKeys("#known [name=email]", "new@example.org"+kb.Tab+"not-the-password"+kb.Enter), sees("#known .problem", "Incorrect e-mail address or password"))
	b.do("log in and join", focused("#known [name=password]"), typed(first+kb.Enter), chromedp.WaitVisible("#bar"), sees("#project option:checked", "Gemini"))
	b.do("an invitation for somebody else", open(link(gemini, map[string]any{"role": "viewer", "email": "other@example.org"})), sees("#join", "logged in as new@example.org"),
		sees("#join .warn", "The invitation is for other@example.org"), chromedp.WaitReady("#join .main:disabled"), focused("#leave"))
	b.do("log out for it", typed(kb.Enter), sees("h1", "Join Gemini"), chromedp.WaitVisible("#newcomer"), focused("#newcomer [name=full_name]"))
	b.do("to be taken by one key", open(p.url+"/ui"), chromedp.WaitVisible("#login"), chromedp.SendKeys("[name=email]", "new@example.org"+kb.Tab+first+kb.Enter), chromedp.WaitVisible("#bar"),
		open(link(project("Mercury"), map[string]any{"role": "viewer"})), focused("#join .main"), typed(kb.Enter), chromedp.WaitVisible("#bar"), sees("#project option:checked", "Mercury"))

	// A lost password.
	var users struct {
		Items []struct {
			ID    int64
			Email string
		}
	}
	owner.json("GET", "/api/v1/users?search=new@", nil, 200, &users)
	reset := link(fmt.Sprintf("/api/v1/users/%d/password-reset", users.Items[0].ID), nil)
	b.do("a reset", open(reset), sees("h1", "Choose a new password"), sees("#reset p", "new@example.org"))
	b.shot("reset.png")
	b.do("a password that everybody has", focused("[name=new_password]"), typed("password1"+kb.Enter), sees("#reset .problem", "most common"))
	b.do("choose one", focused("[name=new_password]"), typed(second+kb.Enter), sees("#login .note", "The password is changed"), forgotten)
	b.do("log in with it", focused("[name=password]"), typed(second+kb.Enter), chromedp.WaitVisible("#bar"))
	b.do("a reset that was used", open(reset), sees("h1", "does not work"), sees(".problem", "it was used or replaced"))
	b.do("no secret at all", open(p.url+"/ui#ccp_nonsense"), sees("h1", "does not work"), sees("[data-text=todo]", "Ask whoever sent it"))

	secrets = append(secrets, first, second)
	heard.until(t, "member.joined")
	deaf()
	// The bodies of these carry them, and no other.
	seen := heard.without(t, secrets, []string{
		"inviteMember", "showInvitation", "acceptInvitation", "issuePasswordReset", "showPasswordReset", "resetPassword", "register", "login", "loginBrowser",
	})
	for i, s := range secrets {
		if seen[s] == 0 {
			t.Errorf("secret %d was not heard where it belongs: this test listens in the wrong places", i)
		}
	}
	kept := p.everything(t, func(where string, value []byte) {
		for _, s := range secrets {
			for _, form := range forms(s) {
				if bytes.Contains(value, form) {
					t.Errorf("%.12s… lies in %s", s, where)
				}
			}
		}
	})
	if kept["rows"] == 0 || kept["messages"] == 0 {
		t.Errorf("looked at %v", kept)
	}
	for _, s := range secrets {
		if strings.Contains(p.log.String(), s) {
			t.Errorf("the log has %q", s)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, asked := range b.asked {
		for _, s := range secrets {
			if strings.Contains(asked, s) {
				t.Errorf("the browser said %.12s… in %s", s, asked)
			}
		}
	}
	if len(b.asked) < 20 {
		t.Errorf("the browser has asked %d times", len(b.asked))
	}
	for _, c := range b.complaints {
		t.Error(c)
	}
}
