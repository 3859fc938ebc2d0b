"""What dissection and Net2Vec compute: concept weights, streaming quantiles, upsampled maps."""
