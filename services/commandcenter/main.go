package main

import (
	"context"
	"os"

	"github.com/commandcenter/commandcenter/pkg/app"
	"github.com/commandcenter/commandcenter/services/commandcenter/internal/cli"
)

func main() {
	app.RelaxGC()
	ctx, release := app.Signals(context.Background(), func() { os.Exit(130) })
	code := cli.Run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	release()
	os.Exit(code)
}
