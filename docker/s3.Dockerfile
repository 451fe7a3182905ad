# rclone's S3 server with a data folder that it may write without being root: a new volume takes over its owner.
FROM rclone/rclone:1.75.2
USER 0:0
RUN mkdir -p /data && chown 10002:10002 /data
USER 10002:10002
