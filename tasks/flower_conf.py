"""Flower's settings: it looks and changes nothing, and lets in whom Baton's own login lets in.

    celery -A tasks flower --conf=tasks/flower_conf.py --address=127.0.0.1 --port=5555

Flower reads the names below as its options. `auth` has to be there for it to ask for anybody at all; who comes in is
decided in `tasks/flower_login.py`, which takes the place of Flower's own look at its users.
"""

from flower.views import BaseHandler

from tasks.flower_login import current_user

BaseHandler.get_current_user = current_user

read_only = True
auth = "operator"
