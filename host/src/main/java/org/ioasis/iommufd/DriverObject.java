// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * An object that is a driver's own, so that a program can destroy it by its id. Under its context's
 * lock.
 */
public abstract non-sealed class DriverObject extends IommufdObject {
    protected DriverObject(IommufdContext context) {
        super(context);
    }

    /** The context that it lives in. */
    protected final IommufdContext iommufd() {
        return context();
    }

    @Override
    final void destroy() {
        destroyed();
    }

    /** Gives back all that it has. */
    protected abstract void destroyed();
}
