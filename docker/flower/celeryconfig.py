"""What Flower must know of our queues."""

# Flower too would hand out again what was taken and not acknowledged for so long, and of all who are connected the one
# with the shortest time does (kombu 5.7). It is there to look: with a day, it never does.
broker_transport_options = {"visibility_timeout": 86_400}
accept_content = ["json"]
