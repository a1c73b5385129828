"""Settings of all tests."""

import logging

import structlog

# Lines for operators, thousands of them in random lives.
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
