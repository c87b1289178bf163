package encoder_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder"
	"github.com/commandcenter/commandcenter/services/knowledge/internal/encoder/encodertest"
)

func TestModelsAreLoadedWhenTheyAreAskedForAndClosedWhenNobodyNeedsThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex // models are loaded side by side
		made := map[string]*encodertest.Model{}
		loads := func(id string) func(context.Context) (encoder.Model, error) {
			return func(context.Context) (encoder.Model, error) {
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				made[id] = &encodertest.Model{ID: id}
				return made[id], nil
			}
		}
		m := encoder.NewModels([]encoder.Known{
			{Name: "mine", Load: loads("mine@1")},
			{Name: "other", Vectors: "other@1", Choice: true, Load: loads("other@1")},
			{Name: "past", Vectors: "past@1", Load: loads("past@1")},
			{Name: "lost", Vectors: "lost@1", Choice: true, Load: func(context.Context) (encoder.Model, error) { return nil, errors.New("no network") }},
		}, nil, slog.New(slog.DiscardHandler), encoder.Config{})
		if first, others := m.Choices(); first != "mine" || !slices.Equal(others, []string{"other", "lost"}) {
			t.Errorf("choices %q, %q", first, others)
		}
		if m.Vectors("") != "" || m.Vectors("other") != "other@1" || m.Knows("mine@1") || !m.Knows("past@1") || m.Knows("stranger@1") {
			t.Error("names before anything is loaded")
		}
		if err := m.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(made) != 1 {
			t.Errorf("loaded %v, and nobody asked for more than the first", made)
		}
		// What is no choice, or no longer one, follows the instance.
		for _, choice := range []string{"", "mine", "past", "stranger"} {
			if got := m.Vectors(choice); got != "mine@1" {
				t.Errorf("choice %q: vectors %q", choice, got)
			}
		}
		for vectors, want := range map[string]string{"": "", "mine@1": "", "other@1": encoder.Loading, "past@1": encoder.Loading, "lost@1": encoder.Loading, "stranger@1": encoder.Unknown} {
			if e, missing := m.Encoder(t.Context(), vectors); missing != want || (e == nil) != (want != "") {
				t.Errorf("%q: %v, %q", vectors, e, missing)
			}
		}
		if e, err := m.Settled(t.Context(), "other@1"); err != nil || e == nil || e.Name() != "other@1" {
			t.Errorf("settled: %v, %v", e, err)
		}
		if e, err := m.Settled(t.Context(), "stranger@1"); err != nil || e != nil {
			t.Errorf("settled on a stranger: %v, %v", e, err)
		}
		synctest.Wait()
		if err := m.Check(t.Context()); !app.IsDegraded(err) || !strings.Contains(err.Error(), "lost") {
			t.Errorf("health: %v", err)
		}
		for vectors, want := range map[string]string{"": "mine@1", "other@1": "other@1", "lost@1": "", "stranger@1": ""} {
			if name, dim := m.Loaded(vectors); name != want || (dim > 0) != (want != "") {
				t.Errorf("%q: loaded %q of %d", vectors, name, dim)
			}
		}
		if err := m.Keep(t.Context(), map[string]bool{"other@1": true, "stranger@1": true, "": true}); err != nil {
			t.Error(err)
		}
		if made["other@1"].Closed() || !made["past@1"].Closed() || made["mine@1"].Closed() {
			t.Error("closed other models than those that nobody needs")
		}
		if err := m.Check(t.Context()); err != nil {
			t.Errorf("health: %v", err)
		}
		if err := m.Stop(t.Context()); err != nil || !made["mine@1"].Closed() || !made["other@1"].Closed() {
			t.Errorf("stop: %v", err)
		}
		if e, missing := m.Encoder(t.Context(), "past@1"); e != nil || missing == "" {
			t.Error("loads after the stop")
		}
	})
}

func TestWhereModelsAreSwitchedOffNoneIsKnown(t *testing.T) {
	t.Parallel()
	m := encoder.NewModels([]encoder.Known{{Name: "off"}}, nil, slog.New(slog.DiscardHandler), encoder.Config{})
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m.Vectors("") != "" || m.Vectors("x") != "" || m.Knows("x@1") {
		t.Error("has vectors")
	}
	if _, missing := m.Encoder(t.Context(), ""); missing != encoder.Off {
		t.Errorf("reason %q", missing)
	}
	if err := m.Stop(t.Context()); err != nil || m.Name() == "" {
		t.Error(err)
	}
}
