# Raise the limits of nginx's own nginx.conf, which no file of conf.d can change: sed -i -f nginx-connections.sed /etc/nginx/nginx.conf
# Debian's 768 connections for each worker are fewer than one network may hold (2000, nftables.conf): one visitor could shut nginx to all others.
# 16384 are those of eight such networks, and cost 7 MB. Each is a file, and so is the body of a request that is buffered: hence twice as many.
s/^\([[:space:]]*worker_connections\)[[:space:]].*/\1 16384;/
/^worker_rlimit_nofile[[:space:]]/d
/^worker_processes[[:space:]]/a\
worker_rlimit_nofile 32768;
