//go:build !linux

package agent

// afterLogout says when a user's own service runs.
const afterLogout = "It runs while you are logged in.\n"
