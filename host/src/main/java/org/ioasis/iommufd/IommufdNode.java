// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** What stands at {@code /dev/iommu}: each open makes a context of its own. Any thread. */
public interface IommufdNode {
    /**
     * Opens.
     *
     * @throws IommufdException ENOMEM
     */
    OpenFile open(Caller caller) throws IommufdException;

    /** Contexts that are open, for those who check that nothing was left. */
    int openContexts();
}
