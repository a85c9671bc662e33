from django.conf import settings
from django.forms import ModelForm
from django.http import HttpResponse
from django.shortcuts import redirect, render

from .models import Entry


class EntryForm(ModelForm):
    class Meta:
        model = Entry
        fields = ["name", "text"]


def book(request):
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("/")
    context = {"entries": Entry.objects.all(), "form": form, "version": settings.VERSION}
    return render(request, "book.html", context, status=400 if form.errors else 200)


def health(request):
    """Answers when the database does."""
    return HttpResponse(f"{Entry.objects.count()} entries\n", content_type="text/plain")
