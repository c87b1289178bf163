// Package mcp offers operations of the contract as tools of the Model Context
// Protocol, revision 2025-11-25 and those before it that the official SDK
// speaks, over streamable HTTP without sessions.
//
// A tool is an operation with x-mcp. Its arguments are the parameters and the
// members of the body of the operation, side by side. A call of a tool is a call
// of the operation with the credentials of the MCP call, through the whole edge:
// limits, permissions, validation and the audit log are the same, and there is no
// other way in.
package mcp
