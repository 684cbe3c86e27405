// SPDX-License-Identifier: Apache-2.0
package org.ioasis.iommufd;

/**
 * Consecutive bytes of one source.
 *
 * @param offset where in the source
 * @param length at least 1
 */
public record PageRun(PageSource source, long offset, long length) {}
