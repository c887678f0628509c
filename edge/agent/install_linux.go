package agent

// afterLogout says when a user's own service runs.
const afterLogout = "It runs while you are logged in. To let it run without, type once: sudo loginctl enable-linger $USER\n"
