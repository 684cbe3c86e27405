package org.ioasis.iommu;

/**
 * Takes the answer to one request, exactly once, on the machine's loop thread; perhaps before the
 * call returns.
 */
@FunctionalInterface
public interface Completion {
    void complete(Status status);
}
