"""What does the model offer: any diffusers ``WanPipeline`` behind one face, its card, its noise levels, its token grid."""
