package org.ioasis.machine;

import org.ioasis.virtio.rogue.Rogue;

/**
 * An entropy device that works as any other, and a control on the host's side that makes it issue
 * accesses that its driver never asked for. For tests of an IOMMU and of drivers; made by {@link
 * Machine#addRogue}. Any thread.
 */
public record RogueRng(Rng rng, Rogue rogue) {}
