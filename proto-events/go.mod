module github.com/commandcenter/commandcenter/proto-events

go 1.26

require google.golang.org/protobuf v1.36.12
