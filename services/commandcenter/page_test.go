package main_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is a tab of a headless Chromium; the test is skipped where none is
// installed. Complaints are what the page did wrong in the browser's eyes: what its
// policy forbade, and exceptions. What it asked for is kept without bodies.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	asked      []string // addresses and headers of what it has requested
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("no Chromium here: apt-get install chromium")
	}
	opts := []chromedp.ExecAllocatorOption{chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1100, 820),
		chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU}
	for _, quiet := range []string{"disable-background-networking", "disable-component-update", "disable-sync"} {
		opts = append(opts, chromedp.Flag(quiet, true))
	}
	if os.Geteuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	// As if its window were in front: what gets the focus has it.
	front := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	})
	if err := chromedp.Do(ctx, front); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		b.complaints = append(b.complaints, text)
	case *network.EventRequestWillBeSent:
		b.asked = append(b.asked, fmt.Sprint(e.Request.URL, " ", e.Request.Headers))
	case *network.EventRequestWillBeSentExtraInfo:
		b.asked = append(b.asked, fmt.Sprint(e.Headers))
	case *log.EventEntryAdded:
		if e.Entry.Source != log.EntrySourceNetwork { // that a call was answered 401 is no fault of the page
			b.complaints = append(b.complaints, string(e.Entry.Source)+": "+e.Entry.Text)
		}
	}
}

// do takes steps; what names them in a failure.
func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		html, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		b.shot("failure.png")
		b.t.Fatalf("%s: %v\n%s", what, err, html)
	}
}

// sees waits until the text is somewhere in what the selector names.
func sees(selector, text string) chromedp.Action[chromedp.Void] {
	const shown = `(s, t) => [...document.querySelectorAll(s)].some((e) => !e.closest("[hidden]") && e.textContent.includes(t))`
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.PollFunction[bool](shown, chromedp.WithPollingArgs(selector, text), chromedp.WithPollingTimeout(patience))(ctx, t)
		if err != nil {
			return fmt.Errorf("%q in %s: %w", text, selector, err)
		}
		return nil
	})
}

// shot keeps a picture of the page where CC_TEST_PICTURES names a directory.
func (b *browser) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("CC_TEST_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), png, 0o600)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// TestTheSearchPage is what a person does there, in a browser that holds the page
// to its policy: log in, upload, find it by the keyboard alone, remove it, log out.
func TestTheSearchPage(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	dir := dataDir(t)
	p := here(t, dir)
	password, err := os.ReadFile(filepath.Join(dir, "owner-password"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "levers.md")
	text := "# Levers\n\nThe green lever opens the sluice. <img src=x onerror=alert(1)>\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	b.do("open", chromedp.Navigate(p.url+"/ui#/search?q=green+lever"), chromedp.WaitVisible("#login"))
	b.do("a wrong password", chromedp.SendKeys("[name=email]", "owner@commandcenter.local"), chromedp.SendKeys("[name=password]", "wrong-password-"+kb.Enter),
		sees(".problem", "Incorrect e-mail address or password"))
	b.do("log in", chromedp.SendKeys("[name=password]", strings.TrimSpace(string(password))+kb.Enter),
		chromedp.WaitVisible("#results"), sees("#summary", "result"))

	b.do("to the documents", chromedp.Blur("#q"), chromedp.KeyEvent("g"), chromedp.KeyEvent("d"), chromedp.WaitVisible("#upload"))
	b.do("upload", chromedp.SetUploadFiles("[name=file]", []string{file}), sees("#uploads [data-state=done]", "searchable"), sees("#list", "Levers"))
	b.shot("documents.png")

	b.do("search", chromedp.Click("[data-view=search]"), chromedp.WaitReady("#q:focus"), chromedp.SendKeys("#q", "which lever opens the sluice?"+kb.Enter),
		sees(".hit h2", "Levers"), sees("mark", "sluice"))
	b.do("markup of a document is text", sees(".hit .body", "<img src=x onerror=alert(1)>"))
	b.do("unfold the first result by keys", chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.Enter), sees(".hit.open .why", "together"))
	b.shot("search.png")
	// As a keyboard has it: what a page takes at the press does not become a character.
	slash := chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](`document.activeElement.dispatchEvent(new KeyboardEvent("keydown", {key: "/", bubbles: true, cancelable: true}))`)(ctx, t)
		return err
	})
	b.do("back to the question", slash, chromedp.WaitReady("#q:focus"), chromedp.KeyEvent(kb.ArrowDown), chromedp.WaitReady(".hit:focus"))
	b.do("rank by meaning", chromedp.KeyEvent("m"), chromedp.WaitReady("[value=vector]:checked"))
	address, err := chromedp.Run(b.ctx, chromedp.Location())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(address, "mode=vector") || !strings.Contains(address, "q=which+lever") {
		t.Errorf("the address does not say what was asked: %s", address)
	}
	b.do("a link to a search", chromedp.Navigate(p.url+"/ui#/search?q=sluice&mode=keyword"), sees("#summary", "1 passage matches by words"), sees(".hit h2", "Levers"))

	b.do("marks of the query", chromedp.Navigate(p.url+`/ui#/search?q=%22opens+the+sluice%22+-nothing&mode=keyword`), sees("#summary code", "opens the sluice"), sees("mark", "sluice"))

	remove := `//tr[contains(., "Levers")]//button`
	b.do("remove", chromedp.KeyEvent(kb.Escape), chromedp.Blur("#q"), chromedp.KeyEvent("g"), chromedp.KeyEvent("d"), chromedp.Click(remove),
		chromedp.WaitVisible("#sure"), chromedp.Click("#sure [value=yes]"), sees("#say", "is removed"), chromedp.WaitNotPresent(remove))
	b.do("it is gone", chromedp.Navigate(p.url+"/ui#/search?q=sluice&mode=keyword"), sees("#summary", "Nothing found"))

	b.do("log out", chromedp.Click("#logout"), chromedp.WaitVisible("#login"), chromedp.Reload(), chromedp.WaitVisible("#login"))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		t.Error(c)
	}
}
