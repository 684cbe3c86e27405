// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/** The ioctl of tests of a node that has one. Under its context's lock. */
public interface TestCommands {
    /** Size of its structure. */
    int size();

    /** The least of it that is accepted. */
    int minimum();

    /**
     * Does what the structure says.
     *
     * @return what the ioctl returns
     */
    long run(IommufdContext context, UserCommand command) throws IommufdException;
}
