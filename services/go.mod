module github.com/commandcenter/commandcenter/services

go 1.26.0

require (
	github.com/commandcenter/commandcenter/pkg v0.0.0
	github.com/commandcenter/commandcenter/proto-events v0.0.0
)

require (
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/commandcenter/commandcenter/pkg => ../pkg
	github.com/commandcenter/commandcenter/proto-events => ../proto-events
)
