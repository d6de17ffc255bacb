"""Floor 4: views for analysts. Live rows of every table (`live.py`), and marts, one SQL file each (`marts/`)."""

from pleo_connector.analytics.categories import CATEGORIES, Category, categories_of
from pleo_connector.analytics.live import live_views
from pleo_connector.analytics.marts import marts
from pleo_connector.analytics.personal import personal_columns
from pleo_connector.analytics.refresh import refresh, views

__all__ = ["CATEGORIES", "Category", "categories_of", "live_views", "marts", "personal_columns", "refresh", "views"]
