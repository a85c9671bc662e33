from django.urls import path
from guestbook.views import book, health

urlpatterns = [path("", book), path("health", health)]
