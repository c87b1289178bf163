package main_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestThePageAnswersAndRanksAnew asks for an answer in words, follows a mark to its
// passage, sees that a cut answer is not whole, and asks for a ranking that cannot be
// had.
func TestThePageAnswersAndRanksAnew(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	dir := dataDir(t)
	p := here(t, dir, "--no-sample", "--config", configured(t,
		fmt.Sprintf("knowledge:\n  answer:\n    kind: compatible\n    url: %s/v1\n    model: scribe\n    key: very-secret\n  rerank:\n    model_dir: %s\n", scribe(t), t.TempDir())))
	p.loginOwner(dir)
	file := filepath.Join(t.TempDir(), "levers.md")
	if err := os.WriteFile(file, []byte("The <b>green</b> lever opens the sluice.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.must(nil, "ingest", file)
	password, err := os.ReadFile(filepath.Join(dir, "owner-password"))
	if err != nil {
		t.Fatal(err)
	}

	b.do("open", chromedp.Navigate(p.url+"/ui#/search?q=green+lever"), chromedp.WaitVisible("#login"))
	b.do("log in", chromedp.SendKeys("[name=email]", "owner@commandcenter.local"), chromedp.SendKeys("[name=password]", strings.TrimSpace(string(password))+kb.Enter),
		chromedp.WaitVisible("#results"), sees(".hit h2", "levers"))
	b.do("answer by the keyboard", chromedp.Blur("#q"), chromedp.KeyEvent("a"),
		sees("#answer .text", `It says "The <b>green</b> lever opens the sluice." 1, and more.`), sees("#answer .quotes .stands", "stands there"),
		sees("#answer .state", "By scribe"), sees("#answer .warn", "were taken out"))
	b.do("a mark leads to its passage", chromedp.Click("#answer .cite"), chromedp.WaitReady("#answer details[open] summary:focus"), sees("#answer .passage", "<b>green</b>"))
	b.shot("answer.png")
	b.do("what breaks off", chromedp.Navigate(p.url+"/ui#/search?q=does+the+lever+break+off"), chromedp.WaitNotVisible("#answer"), chromedp.Click("#to-answer"),
		sees("#answer[data-state=broken] .problem", "The language model broke off"), sees("#answer .state", "Not whole"))
	b.do("rank anew", chromedp.SetValue("[name=rerank]", "true"), chromedp.Func(changed("[name=rerank]")), sees("#summary .warn", "Not re-ranked: the re-ranking model"))
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.complaints {
		t.Error(c)
	}
}

// changed tells the page that a person has changed a field.
func changed(selector string) func(ctx context.Context, t *chromedp.Target) error {
	return func(ctx context.Context, t *chromedp.Target) error {
		_, err := chromedp.Evaluate[bool](fmt.Sprintf(`document.querySelector(%q).dispatchEvent(new Event("change", {bubbles: true}))`, selector))(ctx, t)
		return err
	}
}
