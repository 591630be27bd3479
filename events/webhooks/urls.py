"""Addresses of endpoints and their deliveries, under /api/v1/webhooks."""

from django.urls import path

from events.webhooks import endpoint_views as views

urlpatterns = [
    path("", views.EndpointsView.as_view()),
    path("/<str:webhook_id>", views.EndpointView.as_view()),
    path("/<str:webhook_id>/secret", views.RotationView.as_view()),
    path("/<str:webhook_id>/test", views.TestEventView.as_view()),
    path("/<str:webhook_id>/deliveries", views.DeliveriesView.as_view()),
    path("/<str:webhook_id>/deliveries/redeliver", views.DeadDeliveriesView.as_view()),
    path("/<str:webhook_id>/deliveries/<str:delivery_id>", views.DeliveryView.as_view()),
    path("/<str:webhook_id>/deliveries/<str:delivery_id>/redeliver", views.RedeliveryView.as_view()),
]
