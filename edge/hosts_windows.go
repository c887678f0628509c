package edge

// hostsPath is where Windows keeps names that never meet a DNS server.
const hostsPath = `C:\Windows\System32\drivers\etc\hosts`
